"""Recordings from and to the objects of other libraries, and plain spike times."""
