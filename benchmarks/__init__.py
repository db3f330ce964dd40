"""What produces every published number, and its results."""
