"""The model now serving, where another orchestrator has a resolver."""
