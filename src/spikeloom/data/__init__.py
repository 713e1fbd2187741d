"""Recordings as SpikeData: loading and its steps, file formats, published and simulated recordings."""
