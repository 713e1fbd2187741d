"""Tables as recordings: a row is a spike, a bin, a unit or a neuron."""
