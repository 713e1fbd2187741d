"""Simulated recordings, whose ground truth is known."""
