"""Serves the model in a fresh process before it may be pushed."""
