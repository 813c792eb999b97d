"""The Zarr store of a cube as it begins: its schema, and what is known of its locations before a pixel is read."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import zarr
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from curation.cubes import windows
from curation.cubes.arrays import axes, coordinate, create_array, of_bands
from curation.cubes.cube import FACTS, IDENTITY, Cube
from curation.recipe.digests import digest
from curation.recipe.facts import DTYPE, FILL, TIME_ATTRIBUTES, step_axis
from curation.store import paths
from curation.store.ledger import FORMAT
from curation.store.objects import Store
from curation.store.stat import Receipt


def create(cube: Cube, store: Store, pixels: Mapping[str, Any], columns: Collection[str] = ()) -> list[Receipt]:
    """Publishes schema and identity; the root's metadata last, so that a cube that opens is whole.

    Safe to repeat: the bytes follow from the recipe and the locations. `pixels` is all that changes the cube
    (`catalogs.pixels_parts`); it stands in the root's attributes, so that a change can be told by its key. What another
    creation that was stopped left of sources that the cube is not given after all is removed, and so are columns of facts
    but those whose keys are `columns`.
    """
    objects = _objects(cube, pixels)
    own, stay = {FACTS, *cube.arrays}, {*columns, *(paths.within(cube.prefix, key) for key in objects)}
    for stat in list(store.list(cube.prefix)):
        slab = paths.slab_of(cube.prefix, stat.key)
        if (slab is None or slab[0] not in own) and stat.key not in stay:
            store.delete(stat.key)
    last = "zarr.json"
    keys = sorted(k for k in objects if k != last)
    return [store.publish(paths.within(cube.prefix, k), objects[k]) for k in [*keys, last]]


def _objects(cube: Cube, pixels: Mapping[str, Any]) -> dict[str, bytes]:
    """Key → bytes of the store as created: metadata and identity."""
    objects: dict[str, Buffer] = {}
    memory = MemoryStore(objects)
    root = zarr.create_group(
        memory,
        zarr_format=3,
        attributes={
            "coordinates": cube.coordinates,
            "format": FORMAT,
            "dataset": cube.dataset.name,
            "region": cube.folder,
            "season": cube.season,
            "pixels": pixels,
            "pixels_digest": digest(pixels),
            "locations_digest": cube.locations_digest,
            "licences": {s.name: s.licence for s in cube.sources},
        },
    )
    n = len(cube.locations)
    for name, (spec, array) in cube.arrays.items():
        patch = cube.patch_shape(name)
        steps = [step_axis(spec.name)] if cube.steps(name) else []
        create_array(
            root,
            name,
            shape=(n, *patch),
            chunks=cube.chunk_shape(name),
            shards=(cube.slab_patches, *patch),
            dtype=array.dtype,
            fill_value=array.nodata,
            dimension_names=("patch", *steps, f"{name}_band", f"y_{array.pixel}", f"x_{array.pixel}"),
            attributes={
                "source": spec.name,
                "long_name": spec.title,
                **({"comment": spec.comment} if spec.comment else {}),
                "units": array.unit,
                "nodata": array.nodata,
                **({} if array.res_m is None else {"res_m": array.res_m}),
            },
        )
        coordinate(root, f"{name}_band", array.bands, of_bands([spec.band(b) for b in array.bands]))
    for array in {a.pixel: a for _, a in cube.arrays.values()}.values():
        axes(root, array, cube.dataset.recipe.grid)
    for axis, names in {f.axis: f.along for f in cube.facts if f.axis and f.along}.items():
        coordinate(root, axis, names)
    for fact in cube.facts:
        second = (fact.length,) if fact.axis else ()
        create_array(
            root,
            fact.name,
            shape=(n, *second),
            chunks=(cube.column_slabs * cube.slab_patches, *second),
            dtype=DTYPE[fact.type],
            fill_value=FILL[fact.type],
            dimension_names=("patch", *([fact.axis] if fact.axis else [])),
            attributes=fact.attributes,
        )
    create_array(
        root, FACTS, shape=(n,), chunks=(cube.slab_patches,), dtype="str", dimension_names=("patch",),
        attributes={"long_name": "what was measured of the patch, as JSON: what its other coordinates are made of"},
    )  # fmt: skip
    for name, attributes in IDENTITY.items():
        dtype = "str" if name == "id" else "int32" if name == "epsg" else "float64"
        unit = {"units": cube.dataset.recipe.grid.unit} if name in ("x0_m", "y0_m") else {}
        own = attributes | unit
        array_ = create_array(
            root, name, shape=(n,), chunks=(n,), dtype=dtype, dimension_names=("patch",), attributes=own
        )
        array_[:] = cube.locations.column(name)
    for name, seconds in windows.coordinates(cube.its, cube.dates, cube.locations).items():
        array_ = create_array(
            root, name, shape=(n,), chunks=(n,), dtype=DTYPE["time"], fill_value=FILL["time"],
            dimension_names=("patch",), attributes=(windows.attributes(name) or {}) | TIME_ATTRIBUTES,
        )  # fmt: skip
        array_[:] = seconds
    for column, name in windows.text_names(cube.columns).items():
        array_ = create_array(
            root, name, shape=(n,), chunks=(n,), dtype="str", dimension_names=("patch",),
            attributes=windows.attributes(name) or {},
        )  # fmt: skip
        array_[:] = np.array([place.text(column) for place in cube.locations], object)
    with warnings.catch_warnings():
        # Consolidated metadata is not in the Zarr v3 core yet; without it `xr.open_zarr` warns and reads 60 objects.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(memory)
    return {key: value.to_bytes() for key, value in objects.items()}
