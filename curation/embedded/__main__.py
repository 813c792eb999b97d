"""`python -m curation.embedded`; which Earth it has is the environment's, read before all else (`world/traits.py`)."""

import sys

from curation.embedded.world import traits

try:
    traits.served()
except ValueError as err:
    print(f"{traits.VARIABLE}: {err}", file=sys.stderr)
    sys.exit(1)

from curation.embedded.service.server import main

sys.exit(main())
