"""Retraining: when new data are reason enough to train a model again, written down each time with the numbers."""
