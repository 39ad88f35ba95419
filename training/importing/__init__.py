"""Models of other libraries → checkpoints of Spirale."""
