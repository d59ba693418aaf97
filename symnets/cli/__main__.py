"""`python -m symnets.cli` is `symnets`."""

import sys

from symnets.cli import main

sys.exit(main())
