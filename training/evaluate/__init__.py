"""Measure a checkpoint, and write the metrics into its config and model card."""
