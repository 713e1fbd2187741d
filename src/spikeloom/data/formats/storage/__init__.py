"""Files that hold arrays: opened without running anything in them, tried first, written whole or not at all."""
