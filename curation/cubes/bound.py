"""Whether a cube that stands is of this recipe, and its objects are those of its ledger."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from curation.cubes.cube import Cube
from curation.errors import ConfigError, DamageError
from curation.recipe import catalogs
from curation.recipe.digests import changes
from curation.store.ledger import Ledger
from curation.store.objects import Store
from curation.store.records import again, size_mark
from curation.work.run import Run


def check_bound(run: Run, ledger: Ledger, cube: Cube) -> None:
    """Passes where a cube's ledger is bound to this recipe and catalog, or to nothing yet.

    Raises:
        ConfigError: it is bound to others; what changed is told by its key where the cube says what it was made by.
    """
    try:
        ledger.check(cube.binding(catalogs.pixels_digest(run.dataset, run.catalogs)))
    except ConfigError as err:
        before = cube.made_by(run.store)
        changed = "; ".join(changes(before, catalogs.pixels_parts(run.dataset, run.catalogs))) if before else ""
        if not changed:
            raise
        for its in run.catalogs.every:
            if its.is_file:
                changed = changed.replace(f'is "{its.identity}"', f'is {its.label} ("{its.identity}")')
        raise ConfigError(f"{err}. What changed: {changed}") from err


def check_sizes(store: Store, ledger: Ledger, cube: Cube) -> None:
    """Passes where each object of the cube is there with the size recorded of it, as one listing says; reads no byte.

    Slabs with patches yet to be settled are left out: a build that was stopped may have written them since, and each
    committed chunk of theirs is checked by its hash when they are built.

    Raises:
        DamageError: an object is missing, or has another size.
    """
    whole = [r for n, r in ledger.lines.items() if r.settled == cube.patches_of(n)]
    marks = b"".join([*(size_mark(o.key, o.size) for o in ledger.cube_objects), *(r.marks for r in whole)])
    if not marks:
        return
    stored = b"".join(size_mark(s.key, s.size) for s in store.list(cube.prefix))
    if not np.isin(np.frombuffer(marks, "u8"), np.frombuffer(stored, "u8")).all():
        _tell_missing(store, ledger, cube)


def _tell_missing(store: Store, ledger: Ledger, cube: Cube) -> NoReturn:
    sizes = {s.key: s.size for s in store.list(cube.prefix)}
    objects = list(ledger.cube_objects)
    for number, record in ledger.slabs.items():
        if record.settled == cube.patches_of(number):
            objects += record.objects
    wrong = [o for o in objects if sizes.get(o.key) != o.size]
    first, size = wrong[0], sizes.get(wrong[0].key)
    found = "is recorded but not there" if size is None else f"has {size} bytes, recorded were {first.size}"
    raise DamageError(f"{store.where(first.key)}: {found} (the first of {len(wrong)} such objects): {again(first.key)}")
