"""`python -m symnets` does the same as `symnets`, so that torchrun can start it: `torchrun -m symnets`."""

import sys

from symnets.cli import main

if __name__ == "__main__":
    sys.exit(main())
