"""Procedural anatomy: draws planes from a seed, without noise and with known structures."""
