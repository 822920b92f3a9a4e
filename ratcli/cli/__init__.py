"""The command line: one module for each command; `app` finds them, `console` shows messages."""
