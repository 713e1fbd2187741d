"""The studio: a page on this machine that asks trained runs for trials, and shows them beside recorded ones."""
