"""Training: examples, loss, and the loop."""
