"""Training: material, loss, and the loop."""
