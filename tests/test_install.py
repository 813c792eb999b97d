"""The wheel carries what the command needs, and works away from the checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from curation.recipe import files
from tests.once import one_at_a_time

REPO = Path(__file__).parents[1]


def test_a_checkout_finds_its_own_recipes():
    for name in ("stac_queries", "manifests"):
        assert files.folder(name) == REPO / name


def test_nothing_found_says_what_was_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "curation")
    with pytest.raises(FileNotFoundError, match="reinstall"):
        files.folder("stac_queries")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPO)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_carries_queries_recipes_and_templates(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "py.typed",
        "_data/stac_queries/bands.toml",
        "_data/stac_queries/s2l2a.toml",
        "_data/manifests/ssl4eo-s12-ml/recipe.toml",
        "report/report.html.j2",
        "recipe/atlas/cities.npy",
        "recipe/atlas/city_names.npy",
        "recipe/atlas/city_people.npy",
        "_data/stac_queries/captions/en.toml",
        "recipe/atlas/land.npy",
        "recipe/atlas/countries.shp",
        "recipe/atlas/climate.png",
        "recipe/atlas/README.md",
    ):
        assert f"curation/{wanted}" in names
    package = REPO / "curation"
    tables = {f"curation/{p.relative_to(package)}" for p in (package / "embedded").rglob("*.toml")}
    assert len(tables) > 5
    assert tables <= set(names)
    assert not [n for n in names if n.startswith("tests/")]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_installed_wheel_builds_away_from_the_checkout(wheel: Path, rendering: Path, tmp_path: Path):
    # The wheel alone goes into the new environment; what it depends on is borrowed from this one.
    where = tmp_path / "env"
    venv.create(where, with_pip=False, symlinks=True)
    site = next((where / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    paths = [p for p in sys.path if p.endswith("site-packages")]
    lines = [
        *list(paths),
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]",
    ]
    (site / "borrowed.pth").write_text("\n".join(lines) + "\n")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    python = [str(where / "bin" / "python"), "-P"]
    asked = "import curation.recipe.dataset as d; print(d.load_dataset('ssl4eo-s12-ml').path)"
    found = subprocess.run([*python, "-c", asked], cwd=tmp_path, env=env, capture_output=True, text=True).stdout.strip()
    assert found.startswith(str(site))
    recipe = Path(found)
    few = recipe.read_text().replace("count = 300_000", "count = 20_000")  # drawing all takes most of a minute
    assert few != recipe.read_text()
    recipe.write_text(few)
    flags = ["--catalog", "embedded", "--region", "lower-rhine", "--season", "summer", "--limit", "8"]
    command = [*python, "-m", "curation", *flags, "--root", str(tmp_path / "root")]
    with one_at_a_time(rendering):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "lower-rhine/summer: ok" in done.stdout
    origin = [*python, "-c", "import curation; print(curation.__file__)"]
    assert str(site) in subprocess.run(origin, cwd=tmp_path, env=env, capture_output=True, text=True).stdout
