"""Folders that hold a trained network: what each role of checkpoint is, how it is read and written."""
