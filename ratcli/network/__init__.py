"""The Region Attention Transformer: network, attention engines, weights."""
