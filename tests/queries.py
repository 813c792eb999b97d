"""A copy of `stac_queries/` for a test that changes a file of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curation.recipe import files


def changed(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "bands.toml") -> Callable[[str, str], None]:
    """What changes a file of a copy that is read in place of the real one: by a text that it has once, and another for it.

    Args:
        folder: where the copy is made.
        monkeypatch: of the test, after which the real one counts again.
        name: of the file.
    """
    mine, real = shutil.copytree(files.folder("stac_queries"), folder / "stac_queries"), files.folder
    monkeypatch.setattr(files, "folder", lambda asked: mine if asked == "stac_queries" else real(asked))

    def change(old: str, new: str) -> None:
        text = (mine / name).read_text()
        assert text.count(old) == 1
        (mine / name).write_text(text.replace(old, new))

    return change
