"""The measures themselves: tensors in, numbers out."""
