"""The Region Attention Transformer: the network, the engine that runs it, and its weights."""
