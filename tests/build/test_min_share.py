"""Places of which a class map has little of a class: refused with the share that decided, and never a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.cubes.open_cube import open_cube
from curation.errors import ConfigError
from curation.outcomes import Status
from curation.recipe.dataset import load_dataset
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate

MAP = "worldcover = { required = false }"


def shares_of(built: Curate, *classes: str) -> dict[str, float]:
    """Location → the share of some classes, by counting pixels of a world that refuses none."""
    cube = open_cube(built.folder, "europe")
    codes = {c.name: c.code for c in built.dataset.specs["worldcover"].kind.legend}
    pixels = cube["worldcover_10m"].values
    found = np.isin(pixels, [codes[c] for c in classes]).reshape(len(pixels), -1).mean(axis=1)
    return dict(zip(cube["location"].values.tolist(), found.tolist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("named", "classes"), [("trees", ("tree_cover", "mangroves")), ("tree_cover", ("tree_cover",))]
)
def test_places_with_less_of_a_class_are_refused_and_dropped_with_that_reason(
    built: Curate, tmp_path: Path, named: str, classes: tuple[str, ...]
):
    shares = shares_of(built, *classes)
    values = sorted({*shares.values()})
    least = values[len(values) // 2]  # which one place has exactly: it is taken
    mine = Curate(built.world.from_afar(tmp_path / "world"), tmp_path / "new")
    text = mine.world.recipe.read_text()
    mine.world.recipe.write_text(text.replace(MAP, f"worldcover = {{ min_share = {{ {named} = {least!r} }} }}"))
    assert mine("build", "--season", "static") == 0
    outcomes = {o.id: o for o in Ledger.replay(mine.store, "europe", "static").outcomes()}
    few = {key for key, share in shares.items() if share < least}
    assert 0 < len(few) < len(shares)
    assert {key for key, o in outcomes.items() if o.status is Status.REJECTED} == few
    for key in few:
        its = outcomes[key].sources["worldcover"]
        assert (its.code, its.value) == ("few_of_class", pytest.approx(shares[key], abs=1e-6))
        assert not outcomes[key].chunks
    if named == "trees":
        assert mine("build") == 0
        assert mine("pack") == 0
        dropped = pq.read_table(mine.folder / "manifest/dropped.parquet").to_pylist()
        assert {d["id"] for d in dropped if "few_of_class" in d["reason"]} == few
        samples = pq.read_table(mine.folder / "shards/train/samples.parquet", columns=["id"])["id"].to_pylist()
        assert samples
        assert few.isdisjoint(samples)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "worldcover = { min_share = { tree = 0.3 } }",
            "'tree': no class of ESA WorldCover 2021 .v200.; did you mean trees",
        ),
        ("dem = { min_share = { trees = 0.3 } }", "is no class map"),
        ("worldcover = { required = false, min_share = { trees = 0.3 } }", "would be taken without the map"),
        ("worldcover = { min_share = { trees = 0.0 } }", "greater than 0"),
        ("worldcover = { min_share = {} }", "at least 1"),
    ],
)
def test_what_no_map_can_have_is_told(tmp_path: Path, source: str, says: str):
    world = tiny.World(tmp_path)
    lines = [line for line in tiny.RECIPE.splitlines() if not line.startswith(f"{source.partition(' ')[0]} = ")]
    world.recipe.write_text("\n".join(lines).replace("[sources]", f"[sources]\n{source}"))
    with pytest.raises(ConfigError, match=says):
        load_dataset(str(world.recipe))
