"""Latency of the local server under load, beside the model itself."""
