"""The one training loop, its stages and batches, and the run folder."""
