"""What can be trained: one task for each role of checkpoint."""
