"""The training loop: a fit, its epochs, their steps, and what they record."""
