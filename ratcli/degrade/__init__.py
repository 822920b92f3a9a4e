"""The physics of each task: how a scanner would have degraded a plane."""
