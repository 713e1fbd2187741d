"""NWB files as recordings, at hand or at an address, and recordings as NWB files."""
