"""Behaviour over time: series on the clock of a session, their kinds, and their values in bins."""
