"""Named arrays of counts as recordings: axes, bins, trials, signals and splits."""
