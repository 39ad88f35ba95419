"""How good a checkpoint is: measured on its EMA weights, with seeds and counts stated."""
