"""``python -m spikeloom``: the command line."""

import sys

from spikeloom.cli import main

sys.exit(main())
