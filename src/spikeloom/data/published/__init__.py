"""Published recordings by name: what they are, where they are, and how they get here."""
