"""The stock Pusher, which pushes a model once."""
