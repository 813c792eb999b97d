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

FIRST_AFTER = '''
"""The first scene after that of another source."""

from curation.build.pixels import read_all
from curation.errors.codes import Code
from curation.outcomes import Reject
from curation.recipe.facts import Fact
from curation.recipe.sources import Pick
from curation.scenes import rank


class FirstAfter(Pick):
    """The first that covers the place, whichever way it flew."""

    tried = True
    goes_with: str
    at_most_days: float

    @property
    def follows(self):
        return self.goes_with

    def facts(self, source, shift):
        return [Fact(f"{source}_after_days", "float32", f"days after the {self.goes_with} scene")]

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
def told(world: tiny.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Curate:
    """The tiny world with radar of the first date after; the package itself is as it was."""
    (tmp_path / "picks").mkdir()
    (tmp_path / "picks/first_after.py").write_text(FIRST_AFTER)
    monkeypatch.setattr(picks, "__path__", [*picks.__path__, str(tmp_path / "picks")])
    shutil.copytree(files.folder("stac_queries"), tmp_path / "stac_queries")
    shutil.copytree(files.folder("manifests"), tmp_path / "manifests")
    text = (tmp_path / "stac_queries/s1rtc.toml").read_text()
    head, _, rest = text.partition("[pick]")
    table = '[pick]\nname = "first-after"\ngoes_with = "s2l2a"\nat_most_days = 12\n'
    text = f"{head}{table}\n[[arrays]]{rest.partition('[[arrays]]')[2]}"
    (tmp_path / "stac_queries/s1after.toml").write_text(text.replace('"s1rtc"', '"s1after"'))
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "curation")
    mine = world.from_afar(tmp_path / "world")
    mine.recipe.write_text(mine.recipe.read_text().replace("s1rtc = {}", "s1after = {}"))
    return Curate(mine, tmp_path / "root")


def test_a_new_pick_is_one_file_and_the_source_that_names_it(told: Curate):
    assert told("build", "--season", "summer") == 0
    stored = xr.open_zarr(told.folder / "cubes/europe/summer.zarr")
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
