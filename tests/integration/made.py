"""One run of the command: a dataset built, packed and verified, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration import recipe
from tests.processes import started

STEPS = "import sys\nfrom curation.cli.main import main\nsys.exit(any(main(a) for a in eval(sys.argv[1])))"
"""The verbs one after the other, as far as each ends with 0, in one process: loading what they need takes seconds."""
ENDS_S = 280


@dataclass(frozen=True)
class Made:
    """A dataset."""

    index: dict[str, Any]
    """Of its shards."""
    objects: dict[str, bytes]
    """All that was written of it."""
    said: str
    """What the command said."""

    @property
    def content(self) -> str:
        """The hash over its samples."""
        return str(self.index["content_sha256"])

    @property
    def outcomes(self) -> Any:
        """What became of its patches."""
        return self.index["counts"]["patches"]


@dataclass(frozen=True)
class Command:
    """`curate` as it is run here: what all runs have in common."""

    recipe: Path
    logs: Path

    def __call__(
        self,
        name: str,
        catalog: str,
        root: str,
        written: Callable[[], Mapping[str, bytes]],
        *,
        scheduler: str,
        env: Mapping[str, str] | None = None,
    ) -> Made:
        """Builds, packs and verifies.

        Args:
            name: of its log.
            catalog: who is asked.
            root: where to.
            written: gives all that lies there then, by its names below the root.
            scheduler: who works.
            env: what the environment has beside this one's.

        Raises:
            AssertionError: it ended otherwise than with 0, with what it said.
        """
        where = ["--dataset", str(self.recipe), "--root", root, "--verbose"]
        asked = [*where, "--catalog", catalog, "--region", recipe.REGION]
        limit = ["--limit", str(recipe.PLACES)]
        steps = [["build", *asked, *limit, "--scheduler", scheduler], ["pack", *asked, "--scheduler", scheduler]]
        log = self.logs / f"{name}.log"
        with log.open("wb") as out:
            command = [sys.executable, "-c", STEPS, repr([*steps, ["verify", *where]])]
            with started(command, env=os.environ | dict(env or {}), stdout=out, stderr=subprocess.STDOUT) as process:
                code = process.wait(ENDS_S)
        said = log.read_text(errors="replace")
        assert code == 0, said[-4000:]
        objects = {f"{name}:{key}": data for key, data in written().items()}
        index = json.loads(objects[f"{name}:{recipe.DATASET}/shards/index.json"])
        return Made(index, objects, said)
