"""Observation models: how rates become counts, and how likely counts are under rates."""
