"""A new pick, as somebody would write it: one file beside the others, and the source that names it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from curation.build import picks
from curation.outcomes import Status
from curation.recipe import files
from tests import world as tiny
from tests.run import Curate

NEXT_AFTER = '''
"""The first scene after that of another source."""

from curation.build.pixels import read_all
from curation.errors.codes import Code
from curation.outcomes import Reject
from curation.recipe.facts import Fact
from curation.recipe.sources import Pick
from curation.scenes import rank


class NextAfter(Pick):
    """The first that covers the place, whichever way it flew."""

    tried = True
    goes_with: str
    at_most_days: float

    @property
    def follows(self):
        return self.goes_with

    def facts(self, source, shift):
        return [Fact(f"{source.name}_after_days", "float32", f"days after the {self.goes_with} scene")]

    def offered(self, scenes):
        return rank.newest(scenes)

    def of_place(self, scenes, place):
        return rank.covering(scenes, place)

    def check_any(self, source, place):
        source.found[place.id].check()

    def partners(self, slab, source, place, to):
        self.check_any(source, place)
        later = [s for s in source.found[place.id].scenes if 0 < (s.time - to.time).days + 1 <= self.at_most_days]
        if not later:
            raise Reject(Code.TIME_GAP)
        return sorted(later, key=lambda s: (s.time, s.id))

    def read_with(self, slab, patch, source, to):
        scene = self.partners(slab, source, patch.location, to)[0]
        pixels, warped, valid = read_all(slab, source, patch.location, [scene])
        if valid < source.min_valid:
            raise Reject(Code.NODATA, valid)
        days = (scene.time - to.time).total_seconds() / 86_400
        patch.take(source, pixels, [scene], time=scene.time.timestamp(), after_days=days, valid_fraction=valid)

    def compare(self, slab, patch, source):
        pass
'''


@pytest.fixture
def mine(world: tiny.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Curate:
    """The tiny world, with sources of its own beside it."""
    for name in ("stac_queries", "manifests"):
        shutil.copytree(files.folder(name), tmp_path / name)
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "curation")
    return Curate(world.from_afar(tmp_path / "world"), tmp_path / "root")


def put(mine: Curate, old: str, new: str, **tables: str) -> None:
    """Puts another source in the place of one: the same with tables of its own, in the file and in the recipe."""
    folder = files.folder("stac_queries")
    text = (folder / f"{old}.toml").read_text().replace(f'"{old}"\ntitle', f'"{new}"\ntitle')
    for name, table in tables.items():
        head, _, rest = text.partition(f"[{name}]")
        text = f"{head}[{name}]\n{table}\n[{rest.partition(chr(10) + '[')[2]}"
    (folder / f"{new}.toml").write_text(text)
    mine.world.recipe.write_text(mine.world.recipe.read_text().replace(f"{old} = ", f"{new} = "))


@pytest.mark.slow
def test_a_new_pick_is_one_file_and_the_source_that_names_it(mine: Curate, tmp_path: Path, monkeypatch):
    (tmp_path / "picks").mkdir()
    (tmp_path / "picks/next_after.py").write_text(NEXT_AFTER)
    monkeypatch.setattr(picks, "__path__", [*picks.__path__, str(tmp_path / "picks")])
    put(mine, "s1rtc", "s1after", pick='name = "next-after"\ngoes_with = "s2l2a"\nat_most_days = 12\n')
    assert mine("build", "--season", "summer") == 0
    stored = xr.open_zarr(mine.folder / "cubes/europe/summer.zarr")
    ok = stored.isel(patch=np.flatnonzero(stored.status.values == Status.OK))
    assert ok.sizes["patch"] >= 8
    # The tiny world's radar flew over on 11 July, in the north alone, and on 12 July: 19.3 and 43.3 hours after.
    north = ok.y0_m.values - tiny.SIZE_M >= tiny.Y0 - 3_000
    assert set(ok.s1after_scenes.values[north]) == {"S1A_IW_GRDH_20210711T055000_desc"}
    np.testing.assert_allclose(
        ok.s1after_after_days.values, np.where(north, 19 / 24 + 1 / 72, 43 / 24 + 1 / 72), atol=1e-4
    )
    assert ok.s1after_after_days.attrs["long_name"] == "days after the s2l2a scene"
    assert float(ok.s1after_10m.min()) > 0


@pytest.mark.parametrize(("kind", "kept"), [("classes", True), ("optical", False)])
@pytest.mark.slow
def test_gaps_of_the_same_acquisition_are_kept_of_class_maps_alone(mine: Curate, kind: str, kept: bool):
    # The tiny world's map of 10 July has nothing south of its middle.
    if not kept:
        put(mine, "dynamicworld", "field", kind=f'name = "{kind}"\n')
        recipe = (
            mine.world.recipe.read_text().replace('seasonal = "field"', "").replace('seasonal = "dynamicworld"', "")
        )
        mine.world.recipe.write_text(recipe)
    name = "dynamicworld" if kept else "field"
    assert mine("build", "--season", "summer") == 0
    stored = xr.open_zarr(mine.folder / "cubes/europe/summer.zarr")
    south = (stored.y0_m.values <= tiny.Y0 - 3_000) & (stored.s2l2a_status.values == Status.OK)
    assert south.any()
    assert set(stored[f"{name}_reason"].values[south]) - {"no_match"} == ({""} if kept else {"nodata"})
