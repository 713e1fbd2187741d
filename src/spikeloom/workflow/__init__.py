"""The steps of the command line as functions."""
