"""`python -m ratcli`: the command line, where the program `rat` is not on the path."""

from ratcli.cli.app import run

if __name__ == "__main__":
    run()
