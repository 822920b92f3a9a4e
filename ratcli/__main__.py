"""`python -m ratcli`: the command line, where the program `rat` is not on the path."""

import sys

from ratcli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
