"""Sequential tower."""
