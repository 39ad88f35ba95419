"""Checkpoints → files that other libraries read."""
