"""Benchmarks: what is measured of systems beside each other; each writes a folder that a later call continues."""
