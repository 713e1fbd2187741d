"""Files as others wrote them, and as we do: arrays, NWB, sessions of certain laboratories; spikes into bins."""
