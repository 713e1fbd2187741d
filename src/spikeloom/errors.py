"""Errors that users can cause, and warnings: a full sentence with the fault, the value and the remedy."""


class SpikeloomError(Exception):
    """Base of every error caused by an input; the command line prints it and exits with status 2."""


class DataError(SpikeloomError, ValueError):
    """A recording, an array or a file that cannot be used as it is."""


class ConfigError(SpikeloomError, ValueError):
    """A configuration value that does not exist or cannot hold."""


class NotFittedError(SpikeloomError, RuntimeError):
    """A model that has to be trained first."""


class RunError(SpikeloomError, RuntimeError):
    """A run folder that is missing, incomplete or in the way."""


class SpikeloomWarning(UserWarning):
    """Something a user should know of a result; the command line prints it as a line."""
