"""Graph tower."""
