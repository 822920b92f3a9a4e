"""Makes and checks the weights that ship with rat; it is not part of the wheel."""
