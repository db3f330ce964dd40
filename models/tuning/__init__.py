"""Search for settings on validation, with Optuna."""
