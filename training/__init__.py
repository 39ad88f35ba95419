"""Offline: makes checkpoints. Imports `model`, never `service`."""
