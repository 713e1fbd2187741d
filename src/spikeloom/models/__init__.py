"""One file per system, each on the same protocol."""
