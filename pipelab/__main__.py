"""`python -m pipelab`: the command line, see :mod:`pipelab.cli`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
