"""Folders as recordings: of spike sorters, and in the ALF standard."""
