"""TFDV validation that stops the run in words."""
