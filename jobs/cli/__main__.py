"""`python -m jobs.cli` is `reclake`."""

import sys

from jobs.cli import main

sys.exit(main())
