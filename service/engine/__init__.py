"""The step-level engine: a batch cut at every step, not at every request."""
