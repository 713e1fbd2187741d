"""File formats by family: each gives a ``Session`` of spike times, or named arrays of counts."""
