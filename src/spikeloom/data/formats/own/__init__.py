"""The layout in which npz and HDF5 files keep all of a SpikeData, written at once or trial by trial."""
