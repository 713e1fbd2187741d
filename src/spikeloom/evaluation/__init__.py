"""How real generated spikes are: numpy in, plain results out; imports no model."""
