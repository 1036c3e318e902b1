"""`python -m skadi`."""

import sys

from skadi.cli import main

if __name__ == "__main__":
    sys.exit(main())
