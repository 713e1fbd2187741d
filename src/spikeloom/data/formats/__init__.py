"""File formats: arrays, NWB and the layouts of some laboratories, and the binning of spikes."""
