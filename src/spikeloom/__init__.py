"""Learn how a recorded neural population fires, generate new recordings from it, and measure how real they are."""

__version__ = "0.1.0"
