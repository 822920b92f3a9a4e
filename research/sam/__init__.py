"""Training of the compact SAM: `python -m research.sam --config recipes/sam-compact.toml ...`."""
