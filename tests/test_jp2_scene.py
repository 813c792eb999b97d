"""Scenes as archives have them in JPEG 2000 come to what the same scenes in COGs come to, byte for byte."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import rasterio

from curation.read.jp2image import Jp2Image
from tests import world as tiny
from tests.archive import Archive
from tests.jp2files import packed, reparted
from tests.loopback import serving
from tests.run import Curate


def retold(world: tiny.World, folder: Path, href_of: dict[str, str]) -> tiny.World:
    """The world told from another folder, its scenes of Sentinel-2 at other hrefs."""
    made = world.from_afar(folder)
    for item in made.items:
        for asset in item["assets"].values():
            asset["href"] = href_of.get(asset["href"], asset["href"])
    made.catalog.write_text(json.dumps({"type": "FeatureCollection", "features": made.items}))
    return made


def cubes(curate: Curate) -> dict[str, bytes]:
    """Every chunk of pixels and facts; not what says of which catalog they are."""
    found = curate.folder.joinpath("cubes").rglob("*")
    return {str(p.relative_to(curate.folder)): p.read_bytes() for p in found if p.is_file() and p.suffix != ".json"}


@pytest.mark.slow
def test_a_scene_in_jpeg_2000_and_in_a_cog_gives_the_same_patches_to_the_last_bit(world, tmp_path, monkeypatch):
    decoded: Counter[tuple[Any, ...]] = Counter()
    of_slabs: dict[int, object] = {}  # held, so that none has another's number
    unpack = Jp2Image._unpacked

    def counted(image, data, plane, bx, by, where):
        of_slabs[id(image._decoded)] = image._decoded  # what a reader keeps is the slab's
        decoded[id(image._decoded), image.file.name, bx, by] += 1
        return unpack(image, data, plane, bx, by, where)

    monkeypatch.setattr(Jp2Image, "_unpacked", counted)
    cog, jp2 = {}, {}
    layouts: list[dict[str, Any]] = [{"tlm": True, "plt": True}, {"parts": 3}, {"parts": 3, "tlm": True}, {}]
    archive = Archive({})
    archive.version = '"one"'
    with serving(archive.answer) as url:
        for n, path in enumerate(sorted(world.folder.joinpath("s2").rglob("*.tif"))):
            name = str(path.relative_to(world.folder).with_suffix(""))
            with rasterio.open(path) as file:
                how = {"blockxsize": 256, "blockysize": 256, "PLT": "YES", "RESOLUTIONS": 5}
                data = packed(file.read(), file.transform, file.crs.to_string(), **how)
            archive.files |= {f"{name}.jp2": reparted(data, **layouts[n % 4]), f"{name}.tif": path.read_bytes()}
            cog[str(path)], jp2[str(path)] = f"{url}/{name}.tif", f"{url}/{name}.jp2"
        as_cog = Curate(retold(world, tmp_path / "cog", cog), tmp_path / "of-cog")
        as_jp2 = Curate(retold(world, tmp_path / "jp2", jp2), tmp_path / "of-jp2")
        assert as_cog("build", "--season", "summer", "--limit", "12") == 0
        assert not decoded
        assert as_jp2("build", "--season", "summer", "--limit", "12") == 0
    found = cubes(as_jp2)
    assert found == cubes(as_cog)
    assert any("s2l2a_10m/c/" in key for key in found)
    assert len({key[0] for key in decoded}) > 1
    assert set(decoded.values()) == {1}, "each slab decodes each tile that it wants once"
