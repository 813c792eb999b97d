"""Floods on the embedded Earth, built and packed by the shipped recipe with fewer patches: once, for all files that ask."""

from __future__ import annotations

import shutil
from pathlib import Path

from curation.cli import main
from curation.recipe.files import folder as shipped
from tests import once

NONE, PERMANENT, FLOOD, UNKNOWN = range(4)
"""Codes of labels."""

SEASONS = ("pre2", "pre1", "post")


def recipe(run_folder: Path) -> Path:
    """The folder of the shipped recipe, of whose squares only those count that their areas cover nearly wholly."""
    return once.made_once(run_folder / "kuro-siwo-recipe", _write)


def _write(folder: Path) -> None:
    shutil.copytree(shipped("manifests") / "kuro-siwo", folder)
    text = (folder / "recipe.toml").read_text()
    assert "least_covered_pct = 40 " in text
    (folder / "recipe.toml").write_text(text.replace("least_covered_pct = 40 ", "least_covered_pct = 85 "))


def made(run_folder: Path, rendering: Path) -> Path:
    """The dataset's folder. Who asks names the lock, `rendering`: files that do are dealt to one process."""

    def make(root: Path) -> None:
        with once.one_at_a_time(rendering):
            assert main.main(["build", *arguments(run_folder, root)]) == 0
        assert main.main(["pack", *arguments(run_folder, root)]) == 0

    return once.made_once(run_folder / "kuro-siwo", make) / "kuro-siwo"


def arguments(run_folder: Path, root: Path) -> list[str]:
    """What stands after a verb of `curate`."""
    return ["--dataset", str(recipe(run_folder)), "--root", str(root), "--catalog", "embedded", "--scheduler", "none"]
