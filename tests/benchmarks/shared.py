"""How much the patches of a slab share: `python -m tests.benchmarks.shared`.

Searches the embedded Earth for the main job's places, and for a region covered wall to wall, and counts how many blocks of
512 × 512 pixels the first choices of each slab's patches touch, each block once. No pixel is read. Blocks are counted on a
lattice from the origin of each UTM zone. `alone` is what the same choices touch where every patch is read by itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from curation import embedded
from curation.cubes import cube, selection
from curation.cubes.cube import Cube
from curation.model import Location, Scene
from curation.places import draw, order
from curation.recipe import catalogs
from curation.recipe.dataset import Dataset, load_dataset
from curation.recipe.sources import SourceSpec
from curation.scenes import candidates
from curation.scenes.saved import Searches
from curation.store.objects import Store

BLOCK_PX = 512


def blocks(spec: SourceSpec, dataset: Dataset, place: Location, scene: Scene) -> Iterable[tuple[str, str, int, int]]:
    """(scene, band, row, column) of each block that a place's window touches."""
    for array in dataset.arrays[spec.name].values():
        step = BLOCK_PX * array.res_m
        cols = range(int(place.x0_m // step), int(-(-(place.x0_m + place.size_m) // step)))
        rows = range(int((place.y0_m - place.size_m) // step), int(-(-place.y0_m // step)))
        for band in array.bands:
            yield from ((scene.id, band, row, col) for row in rows for col in cols)


def per_patch(here: Cube, searches: Searches) -> tuple[float, float]:
    """Blocks of the deciding source per patch of a cube: those of a slab each once, and each patch by itself."""
    spec = next(s for s in here.sources if s.pick.wants_clear)
    touched = alone = patches = 0
    for slab in range(here.slabs):
        places = here.slab(slab)
        found = candidates.of_slab(here.dataset, searches, here.season, places)[spec.name]
        chosen = [(p, found[p.id].scenes[0]) for p in places if found[p.id].scenes]
        each = [set(blocks(spec, here.dataset, p, s)) for p, s in chosen]
        touched += len(set().union(*each))
        alone += sum(map(len, each))
        patches += len(chosen)
    return touched / max(patches, 1), alone / max(patches, 1)


def main() -> None:
    """Prints a line per cube."""
    dataset = load_dataset("ssl4eo-s12-ml")
    recipe = dataset.recipe
    whole = recipe.model_dump() | {"places": {"sampler": "grid", "regions": list(recipe.places.regions)}}
    covering = Dataset(type(recipe).model_validate(whole), dataset.specs, dataset.path)
    print("blocks of Sentinel-2 per patch")
    print(f"{'cube':24} {'patches':>8} {'alone':>8} {'slab':>8}")
    with tempfile.TemporaryDirectory() as folder, embedded.serve() as url:
        catalog = catalogs.Catalogs(catalogs.resolve("embedded", served_at=url))
        for name, made in (("cities", dataset), ("wall to wall", covering)):
            store = Store(Path(folder) / name.replace(" ", "-"))
            regions = selection.asked_regions(made, catalog, "lower-rhine")
            searches = Searches(made, catalog, store)
            drawn = order.hilbert_order(draw.select(draw.draw(made, regions), regions))
            for season in made.season_names():
                here = cube.cube_of(made, regions[0].name, season, drawn)
                searches.run(candidates.wanted(made, season, drawn))
                together, alone = per_patch(here, searches)
                print(f"{name + ', ' + season:24} {len(drawn):8} {alone:8.1f} {together:8.1f}")


if __name__ == "__main__":
    main()
