"""What a masked autoencoder learns of bands in minutes, on a mix of what was built here and of chips of others.

    make ssl4eo-s12-ml fomo
    CURATION_SHARED=… python -m tests.benchmarks.fomo [--root shards] [what curation.examples.fomo takes]

Takes in the six real chips of BigEarthNet below `CURATION_SHARED`, by `curate import`, and runs the example on the mix with
four bands of Sentinel-2 left out of training: green between blue and red, one of the red edge, the narrow near infrared
within the wide one's, and the first shortwave infrared, far from all others.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from curation.examples import fomo
from tests import foreign

UNSEEN = ("s2.b03", "s2.b06", "s2.b8a", "s2.b11")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("shards"), help="of what make made (%(default)s)")
    asked, more = parser.parse_known_args()
    chips = Path(os.environ["CURATION_SHARED"]) / "data/geobench2-benv2"
    with tempfile.TemporaryDirectory(prefix="curation-fomo-") as folder:
        recipe = foreign.write(Path(folder), foreign.mended(foreign.BENV2, foreign.BENV2_MENDS))
        if code := foreign.curate_import(chips, recipe, Path(folder)):
            return code
        built = {"earth": asked.root / "ssl4eo-s12-ml", "forests": asked.root / "fomo"}
        data = [f"{name}={where}" for name, where in (built | {"ben": Path(folder) / "benv2/shards"}).items()]
        return fomo.main([*data, "--unseen", *UNSEEN, *more])


if __name__ == "__main__":
    sys.exit(main())
