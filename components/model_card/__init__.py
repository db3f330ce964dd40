"""The model card put beside the model that is pushed."""
