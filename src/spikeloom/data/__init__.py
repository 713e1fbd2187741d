"""Recordings become SpikeData: the data type, its files, and simulated recordings."""
