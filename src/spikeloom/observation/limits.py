"""Numbers at which observation models, drawn at once or bin by bin, stay finite."""

EPSILON = 1e-8
"""Keeps the logarithm of a vanishing rate finite."""
SILENT = -1e6
"""Stands for the logarithm of a rate of 0, whatever the history."""
HEADROOM = 80.0
"""Exponent within which unnormalised probabilities stay in single precision."""
LARGEST = 1 - 2**-24
"""Largest share below 1 in single precision."""
