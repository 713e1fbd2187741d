"""Behaviour read from spikes: every decoder, and the registry by which they are named."""
