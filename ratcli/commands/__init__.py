"""The verbs of `rat`: one module each, with its options and the one function that does it."""
