"""`python -m curation.embedded`."""

import sys

from curation.embedded.service.server import main

sys.exit(main())
