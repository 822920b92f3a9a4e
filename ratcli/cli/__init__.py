"""The command line: one file a command, `app` finds them, `console` talks to the user."""
