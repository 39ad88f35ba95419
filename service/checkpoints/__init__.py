"""Which checkpoints are served, and how they change while the service runs."""
