"""Plain torch modules that know nothing of spikes."""
