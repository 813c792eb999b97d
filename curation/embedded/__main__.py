"""`python -m curation.embedded`."""

import sys

from curation.embedded.server import main

sys.exit(main())
