"""The metrics: tensors in, numbers out."""
