"""The text of the model card, which the report shows and the model carries."""
