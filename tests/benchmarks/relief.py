"""Which share of land passes the rule on relief of Sentinel-1 GRD: `python -m tests.benchmarks.relief`.

Over the real heights (GLO-30) that `$CURATION_SHARED` has: one whole tile, and crops. A patch passes where no pixel of it is
displaced by more than half a pixel of 10 m, by |h - h of the tie points| cot θ. Two references stand for the tie points:

- *best*: the height midway between the patch's least and greatest. No tie points do better: what fails fails always.
- *line*: the mean height of the land of the file, as products state one height a line; of a whole pass it is further off.

Neither has the geoid, nor what tie points' own heights are wrong by: both make it worse. Patches with sea are left out, and
land here is a handful of places: no share of the Earth's.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio

from curation.build.kinds.ground_range import MOST_DISPLACED_PX

SHARED = Path(os.environ.get("CURATION_SHARED", "../shared"))
SIZES_M = (480, 2640)
ANGLES_DEG = (30.0, 38.0, 46.0)
PIXEL_M = 10.0
FILES = {
    "São Tomé": "rio-tiler-pds/copernicus-dem-30m/*/*.tif",
    "Los Angeles": "dem-stitcher/golden_datasets/los_angeles_tiles/*.tif",
    "Fairbanks": "dem-stitcher/golden_datasets/fairbanks_tiles/*.tif",
    "eastern Turkey": "dem-stitcher/missing/glo_30_left.tif",
    "TerraMind (3 places)": "terramind/DEM/*.tif",
}


def patches(path: Path, size_m: float) -> Iterator[tuple[np.ndarray, float]]:
    """Heights of each patch of a file that has land alone, side by side, and the mean of all its land."""
    with rasterio.open(path) as file:
        heights, (res_y, res_x) = file.read(1).astype(float), (abs(file.transform.e), file.transform.a)
        if file.crs.is_geographic:
            lat = (file.bounds.top + file.bounds.bottom) / 2
            res_y, res_x = res_y * 111_195, res_x * 111_195 * math.cos(math.radians(lat))
    heights[(heights == 0) | (heights < -1000)] = np.nan
    rows, cols = min(round(size_m / res_y), heights.shape[0]), min(round(size_m / res_x), heights.shape[1])
    mean = float(np.nanmean(heights))
    for top in range(0, heights.shape[0] - rows + 1, rows):
        for left in range(0, heights.shape[1] - cols + 1, cols):
            patch = heights[top : top + rows, left : left + cols]
            if not np.isnan(patch).any():
                yield patch, mean


def main() -> None:
    """Prints shares by place, size of patch, and incidence angle."""
    print(
        f"{'':22} {'patch':>7} {'n':>6}  share that passes, of the best tie points / of one height, at incidence angles of"
    )
    print(f"{'':37}  " + "  ".join(f"{f'{a:g}°':>13}" for a in ANGLES_DEG))
    total: dict[tuple[int, float], list[int]] = {}
    for place, pattern in FILES.items():
        for size in SIZES_M:
            found = [p for path in sorted((SHARED / "data").glob(pattern)) for p in patches(path, size)]
            cells = []
            for angle in ANGLES_DEG:
                most_m = MOST_DISPLACED_PX * PIXEL_M * math.tan(math.radians(angle))
                best = sum(np.ptp(h) / 2 <= most_m for h, _ in found)
                line = sum(np.abs(h - mean).max() <= most_m for h, mean in found)
                sums = total.setdefault((size, angle), [0, 0, 0])
                for n, value in enumerate((best, line, len(found))):
                    sums[n] += int(value)
                cells.append(f"{_share(best, len(found)):>6}/{_share(line, len(found)):>6}")
            print(f"{place:22} {size:>5} m {len(found):>6}  " + "  ".join(cells))
    for size in SIZES_M:
        sums = [total[size, a] for a in ANGLES_DEG]
        cells = [f"{_share(b, n):>6}/{_share(line, n):>6}" for b, line, n in sums]
        print(f"{'all':22} {size:>5} m {sums[0][2]:>6}  " + "  ".join(cells))


def _share(part: int, of: int) -> str:
    return f"{100 * part / of:.1f}%" if of else "-"


if __name__ == "__main__":
    main()
