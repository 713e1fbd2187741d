"""Structures, cells and padded arrays: where their spikes are, and what lies beside them."""
