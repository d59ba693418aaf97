"""`python -m symnets.cli` does the same as `symnets`."""

import sys

from symnets.cli import main

sys.exit(main())
