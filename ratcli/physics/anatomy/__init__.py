"""Procedural anatomy: endless seeded planes whose truth is known."""
