"""The model card: its text and its pictures."""
