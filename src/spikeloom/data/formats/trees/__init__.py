"""Groups, structures and lists of spikes in MATLAB, HDF5 and npz files as recordings."""
