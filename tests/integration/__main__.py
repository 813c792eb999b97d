"""Sets up what the production-like run needs, says what it lacks, and runs its tests: `python -m tests.integration`.

What is told after it pytest is told, too; of files that are named among it only these run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import platformdirs

from tests.integration import environment, programs

FOLDER = Path(platformdirs.user_cache_dir("curation")) / "environments" / "integration"


def main() -> int:
    """What pytest ends with."""
    began = time.monotonic()
    python, lacking = environment.ensure(FOLDER)
    print(f"integration: environment {FOLDER}: {time.monotonic() - began:.0f} s", flush=True)
    for line in lacking:
        print(f"integration: could not be installed: {line}", flush=True)
    if packages := programs.packages():
        print(f"integration: not on this machine: {', '.join(packages)} (apt-get install, as root)", flush=True)
    # What somebody has rendered of the embedded Earth on this machine is not rendered again.
    env = {"CURATION_TEST_CACHE": str(FOLDER.parents[2]), **os.environ, environment.VARIABLE: str(FOLDER)}
    asked = [a for a in sys.argv[1:] if Path(a.partition("::")[0]).is_file()]
    where = [] if asked else [Path(__file__).parent]
    command = [python, "-m", "pytest", *where, "-m", "integration", *sys.argv[1:]]
    return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
