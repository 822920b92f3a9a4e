"""The commands of `rat`: one module each, with its options and the function that runs it."""
