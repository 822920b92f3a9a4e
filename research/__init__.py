"""What makes and checks the weights that rat ships, and what no user needs; in no wheel."""
