"""Accuracy and confidence quality against ground truth."""
