"""How good a checkpoint is, and what its model card says of it."""
