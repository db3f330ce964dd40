"""Model selection on validation, refit, export."""
