"""Distributions over latent sequences and how to sample from them."""
