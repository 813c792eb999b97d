"""What a worker does, by where it is in the program: a table of a profile, in shares of CPU."""

from __future__ import annotations

from collections import Counter

from tests.benchmarks.builds.sampler import Place, Profile

LAYERS = (
    ("decode blocks", ("read/image.py", "read/raster.py", "read/jp2", "read/directory.py", "read/georeference.py")),
    ("fetch bytes", ("read/",)),
    ("resample and crop onto the grid", ("read/warp.py", "read/reader.py", "read/fitting.py", "places/grid.py")),
    ("misregistration, measured", ("read/shift.py",)),
    ("radiometry and its proof", ("read/radiometry.py", "read/backscatter.py", "build/offset.py", "recipe/values.py")),
    ("kinds of pixels", ("build/kinds/",)),
    ("masks, choice, quality", ("build/", "scenes/rank.py", "scenes/candidates.py", "recipe/")),
    ("searches", ("scenes/",)),
    ("encode chunks and facts", ("cubes/",)),
    ("hash and write", ("store/",)),
    ("ledger", ("store/ledger.py", "store/records.py")),
    ("places", ("places/",)),
    ("what becomes of tasks", ("work/", "pipeline.py")),
)  # fmt: skip
"""What is done → files of `curation/` that do it, by how they begin: of those that fit the longest says."""

DASK = ("distributed", "tornado", "dask")


def layer(place: Place) -> str:
    """What is done at a place."""
    if not place.file.startswith("curation/"):
        return "Dask" if place.file in DASK else f"other Python ({place.file})"
    file = place.file.removeprefix("curation/")
    fitting = [(len(begin), name) for name, begins in LAYERS for begin in begins if file.startswith(begin)]
    return max(fitting)[1] if fitting else file.partition("/")[0]


def shares(profile: Profile) -> list[tuple[str, float]]:
    """What is done and its share of all CPU that was seen, the greatest first; of native threads by their names."""
    seconds: Counter[str] = Counter()
    for place, s in profile.at_work.items():
        seconds[layer(place)] += s
    for name, s in profile.native.items():
        seconds[f"threads of libraries ({name})"] += s
    total = seconds.total()
    return [(name, s / total) for name, s in seconds.most_common() if total]


def functions(profile: Profile, count: int) -> list[tuple[str, float]]:
    """The functions of this program that most is spent in, with what they call elsewhere, and their shares."""
    seconds: Counter[str] = Counter()
    for place, s in profile.at_work.items():
        if place.file.startswith("curation/"):
            seconds[f"{place.file.removeprefix('curation/')}: {place.function}"] += s
    total = sum(profile.at_work.values()) + sum(profile.native.values())
    return [(name, s / total) for name, s in seconds.most_common(count)]


def per_patch(profile: Profile, patches: int, most: int = 8) -> dict[str, str]:
    """What is done and its CPU ms a patch, for a table."""
    ms = 1000 * sum(profile.by_thread.values()) / patches
    return {name: f"{ms * share:.1f}" for name, share in shares(profile)[:most]}
