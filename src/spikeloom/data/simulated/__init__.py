"""Recordings that are made, of which the truth is known."""
