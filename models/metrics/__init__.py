"""Ranking metrics, with one target per user or several, and their intervals."""
