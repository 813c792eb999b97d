"""One patch as a picture; what cannot be drawn is said."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.cubes import contents
from curation.errors import ConfigError
from curation.outcomes import Status
from curation.recipe.dataset import load_dataset
from curation.report import picture, show
from curation.report import picture as picture_module
from curation.store.ledger import Ledger
from tests import world as tiny
from tests.run import Curate


def _first(built: Curate, season: str, status: Status) -> str:
    return next(o.id for o in Ledger.replay(built.store, "europe", season).outcomes() if o.status is status)


def _pixels(path: Path) -> np.ndarray:
    image = Image.open(path)
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What was handed to the drawing, call by call."""
    calls: list[tuple] = []
    real = picture.png

    def spy(*args):
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(picture_module, "png", spy)
    return calls


@pytest.mark.slow
def test_an_ok_patch_shows_each_of_its_sources(built: Curate, tmp_path: Path, drawn: list[tuple]):
    patch = tiny.name(1, 1)
    out = tmp_path / "a.png"
    assert show.write(built.dataset, built.store, f"europe/summer/{patch}", out) == show.Shown(str(out), ())
    assert len(np.unique(_pixels(out).reshape(-1, 3), axis=0)) > 100
    (title, subtitle, why, panels, facts, side_m) = drawn[0]
    assert (title, why, side_m) == (patch, "", tiny.SIZE_M)
    assert "europe/summer" in subtitle
    titles = [p.title for p in panels]
    assert {"True colour", "Scene classification", "Radar VV", "Radar VH", "Dynamic World V1"} <= set(titles)
    assert all(p.image is not None for p in panels)
    radar = next(p for p in panels if p.title == "Radar VV")
    assert radar.image.shape == (48, 48, 4)  # pixel for pixel
    assert ("baseline", "05.00") in facts
    legend = next(p.legend for p in panels if p.title == "Dynamic World V1")
    assert [(name.rpartition(" %")[0].split()[0], colour) for name, colour in legend] == [
        ("trees", "#397d49"),
        ("crops", "#e49635"),
    ]
    assert sum(int(name.split()[1]) for name, _ in legend) == 100


def test_static_shows_heights_and_the_annual_map(built: Curate, tmp_path: Path, drawn: list[tuple]):
    show.write(built.dataset, built.store, f"europe/static/{tiny.name(0, 0)}", tmp_path / "a.png")
    panels = drawn[0][3]
    assert [p.title for p in panels] == ["Copernicus DEM GLO-30", "ESA WorldCover 2021 (v200)"]
    assert panels[0].scale[1:3] == (118.0, 128.0)  # 123 m everywhere: at least 10 m are spanned
    assert panels[1].image[0, 0].tolist() == [0, 100, 0, 255]


@pytest.mark.slow
def test_a_rejected_patch_tells_why_instead(built: Curate, tmp_path: Path, drawn: list[tuple]):
    patch = tiny.name(0, 3)  # cloudy in summer
    out = tmp_path / "a.png"
    show.write(built.dataset, built.store, f"europe/summer/{patch}", out)
    _, subtitle, why, panels, facts, _ = drawn[0]
    assert panels == []
    assert subtitle.endswith("rejected")
    assert why == "s2l2a rejected: cloudy (clear fraction 0). No covering scene is clear enough on the patch."
    assert ("clear fraction", "0") in facts
    assert len(np.unique(_pixels(out).reshape(-1, 3), axis=0)) > 10


@pytest.mark.slow
def test_a_damaged_chunk_is_drawn_as_damaged_and_the_others_as_they_are(
    built: Curate, tmp_path: Path, drawn: list[tuple], capsys: pytest.CaptureFixture[str]
):
    mine = built.copy(tmp_path / "copy")
    patch = tiny.name(1, 1)
    cube = contents.opened(mine.dataset, mine.store, "europe", "summer")
    key = cube.cube.array_key("s1rtc_10m", cube.numbers[patch] // cube.cube.slab_patches)
    file = mine.folder / key
    file.write_bytes(bytes(b ^ 255 if n < 4000 else b for n, b in enumerate(file.read_bytes())))
    show.write(mine.dataset, mine.store, f"europe/summer/{patch}", tmp_path / "a.png")
    shown = {p.title: p for p in drawn[0][3]}
    damaged = [p for p in shown.values() if p.damage]
    assert [p.detail for p in damaged] == ["s1rtc_10m"]
    assert damaged[0].image is None
    assert key in damaged[0].damage
    assert mine("show", f"europe/summer/{patch}", "--out", str(tmp_path / "a.png")) == 1
    said = capsys.readouterr().err
    assert f"curate: {file}" in said
    assert "delete both cubes/europe/summer.zarr and ledger/europe/summer" in said
    assert shown["True colour"].image is not None


@pytest.mark.slow
def test_damaged_facts_are_said(built: Curate, tmp_path: Path, drawn: list[tuple]):
    mine = built.copy(tmp_path / "copy")
    patch = tiny.name(1, 1)
    cube = contents.opened(mine.dataset, mine.store, "europe", "summer")
    slab = cube.numbers[patch] // cube.cube.slab_patches
    (mine.folder / cube.cube.prefix / "patch_facts" / "c" / str(slab)).write_bytes(b"other")
    shown = show.write(mine.dataset, mine.store, f"europe/summer/{patch}", tmp_path / "a.png")
    assert ["patch_facts" in d for d in shown.damage] == [True]
    said = dict(drawn[0][4])["facts damaged"]
    assert "patch_facts" in said


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ("europe/summer", "expected REGION/SEASON/ID"),
        ("europa/summer/x", "no region 'europa' is built; near matches: europe"),
        ("europe/sumer/x", "no season 'sumer' is built; near matches: summer"),
        (f"europe/summer/{tiny.name(1, 1)[:-1]}", f"near matches: .*{tiny.name(1, 1)}"),
        ("europe/summer/zzz", "there are 25: "),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(built: Curate, tmp_path: Path, patch: str, told: str):
    with pytest.raises(ConfigError, match=told):
        show.write(built.dataset, built.store, patch, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_a_pending_patch_is_refused_with_what_builds_it_and_is_not_counted_as_built(built: Curate, tmp_path: Path):
    mine = Curate(built.world, tmp_path)
    assert mine("build", "--season", "summer", "--limit", "1") == 0
    with pytest.raises(ConfigError, match=r"no location 'zzz' is built; there are 1: .*; 24 others .* are pending$"):
        show.write(mine.dataset, mine.store, "europe/summer/zzz", None)
    cube = contents.opened(mine.dataset, mine.store, "europe", "summer")
    pending = next(p.id for p in cube.cube.locations if p.id not in cube.outcomes)
    with pytest.raises(ConfigError, match=r"is pending: .* --region europe --season summer"):
        show.write(mine.dataset, mine.store, f"europe/summer/{pending}", None)


def test_it_goes_to_the_current_folder_by_default(built: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    where = show.write(built.dataset, built.store, f"europe/static/{tiny.name(0, 0)}", None).where
    assert where == str(tmp_path / f"{tiny.name(0, 0)}-static.png")
    assert Image.open(io.BytesIO(Path(where).read_bytes())).size[0] > 500


def test_a_cube_of_another_recipe_is_refused(built: Curate, tmp_path: Path):
    other = tmp_path / "recipe"
    shutil.copytree(built.world.folder, other)
    text = (other / "recipe.toml").read_text().replace("s1rtc = {}", "s1rtc = { res_m = 20 }")
    (other / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"s1rtc_10m .* says .*s1rtc_20m .* has changed since"):
        show.write(tiny_dataset(other), built.store, f"europe/summer/{tiny.name(1, 1)}", tmp_path / "a.png")


def tiny_dataset(folder: Path):
    from curation.recipe.dataset import load_dataset

    return load_dataset(str(folder))


def test_what_is_measured_of_a_class_is_told_in_its_own_unit():
    spec = load_dataset("kuro-siwo").specs["water"]
    first, *others = (c.name for c in spec.kind.legend)
    measured = {"water_fraction": [0.25, *(0.0 for _ in others)], "water_area_m2": [1254400.0, *(0.0 for _ in others)]}
    rows = show._class_rows(spec, {name: np.array(values, "float32") for name, values in measured.items()})
    assert rows == [(first, "25.0 %"), (f"{first}, area m2", "1.254e+06")]
