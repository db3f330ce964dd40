"""Beam ingest of interaction logs, one example per user."""
