"""The mark of what renders: it names the cache, so that nothing of another Earth is served."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

import curation
from curation.embedded.archive import mark
from curation.embedded.service import server

PACKAGE = Path(curation.__file__).parent


def told(code: str, folder: Path) -> str:
    """What a process says whose package lies in a folder."""
    command = [sys.executable, "-c", code]
    env = {"PYTHONPATH": str(folder), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=env)
    return done.stdout.strip()


def test_the_mark_is_of_every_module_that_renders():
    code = (
        "import json, sys, curation.embedded.archive; "
        "print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'curation']))"
    )
    loaded = {Path(p) for p in json.loads(told(code, PACKAGE.parent))}
    files, packages = mark.closure(mark.ROOT)
    assert loaded - {PACKAGE / "__init__.py"} <= set(files)  # which holds the version alone
    assert PACKAGE / "embedded" / "sensors" / "optics.py" in files
    assert PACKAGE / "embedded" / "service" / "server.py" not in files
    assert {f.with_suffix(".toml") for f in files} & set(PACKAGE.rglob("*.toml")) <= set(files)
    assert PACKAGE / "embedded" / "archive" / "scenes.toml" in files
    assert {"numpy", "scipy", "rasterio"} <= set(packages)


@pytest.mark.slow
def test_the_mark_changes_with_what_renders_and_with_nothing_else(tmp_path, monkeypatch):
    shutil.copytree(PACKAGE, tmp_path / "curation", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(mark, "_PACKAGES", tmp_path)
    before = mark.rendering.__wrapped__()
    renders = {
        "service/server.py": False,
        "service/items.py": False,
        "world/noise.py": True,
        "service/items.toml": False,
    }
    renders |= {"world/cover.toml": True}
    for name, is_another in renders.items():
        path = tmp_path / "curation" / "embedded" / name
        path.write_text(path.read_text() + "\nLATER = 1\n")
        now = mark.rendering.__wrapped__()
        assert (now != before) == is_another, name
        before = now
    code = "from curation.embedded.archive import mark; print(mark.rendering())"
    assert told(code, tmp_path) == before, "the package that lies there says the same of itself"


def test_the_mark_changes_with_the_packages_that_render(monkeypatch):
    before = mark.rendering()
    version = importlib.metadata.version
    for package, is_another in (("scipy", True), ("uvicorn", False)):
        mark.rendering.cache_clear()
        monkeypatch.setattr(
            mark.metadata, "version", lambda name, package=package: "9.9" if name == package else version(name)
        )
        assert (mark.rendering() != before) == is_another, package
    mark.rendering.cache_clear()


def test_the_cache_is_named_by_the_mark_and_tests_have_one_of_their_own(empty_cache):
    assert server.default_cache() == Path(platformdirs.user_cache_dir("curation")) / f"embedded-{mark.rendering()}"
    if sys.platform == "linux":
        assert server.default_cache().is_relative_to(empty_cache)


def test_ci_begins_with_an_empty_cache_folder():
    script = PACKAGE.parent / ".ci" / "run"
    if not script.is_file():
        pytest.skip("not in a checkout")
    text = script.read_text()
    assert text.index('XDG_CACHE_HOME="$(mktemp -d)"') < text.index("make --no-print-directory test-all")
