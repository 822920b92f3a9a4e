"""Measures each task on patients that were not used for training."""
