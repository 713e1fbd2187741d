"""Usual names of arrays and columns, and labels of spikes and bins: what they say."""
