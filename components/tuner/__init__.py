"""Searches for settings on validation, before the Trainer."""
