"""rat: restore medical images with the Region Attention Transformer."""

__version__ = "0.1.0"
