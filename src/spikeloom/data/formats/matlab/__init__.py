"""MATLAB files as recordings, and those of two laboratories."""
