"""Drawing primitives: arrays in, Axes out."""
