"""Loss functions of both towers and their alignment."""
