"""Earth-observation training sets as recipes anyone can rerun.

    made = curation.load("ssl4eo-s12-ml", "tiny", catalog="embedded")
    made.build("lower-rhine", "summer", limit=8)
    cube = curation.open_cube("tiny/ssl4eo-s12-ml", "lower-rhine")

The package follows the data: `recipe` says what, `places` where, `scenes` which; `build` reads them onto `cubes`, `pack`
makes WebDataset tars of those, `stream` hands them to torch. `pipeline` puts these in order, `api` is the Python way in.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation.api.distance import distance
    from curation.api.folder import DatasetFolder, load
    from curation.api.importing import import_dataset
    from curation.api.mended import diff
    from curation.api.sources import check_source
    from curation.cubes.open_cube import at, open_cube
    from curation.cubes.open_patch import open_patch
    from curation.pack.graph import opened as graph

__version__ = "0.1.0"

__all__ = [
    "DatasetFolder",
    "at",
    "check_source",
    "diff",
    "distance",
    "graph",
    "import_dataset",
    "load",
    "open_cube",
    "open_patch",
]

_HOMES = {
    "DatasetFolder": "curation.api.folder",
    "at": "curation.cubes.open_cube",
    "check_source": "curation.api.sources",
    "diff": "curation.api.mended",
    "distance": "curation.api.distance",
    "import_dataset": "curation.api.importing",
    "load": "curation.api.folder",
    "open_cube": "curation.cubes.open_cube",
    "open_patch": "curation.cubes.open_patch",
}
"""Where each lives: it is imported when it is first asked for, so that `curation.stream` alone stays light."""


_MODULES = {"graph": "curation.pack.graph.opened"}
"""What is a module of its own: `curation.graph.open`."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        module = globals()[name] = import_module(_MODULES[name])
        return module
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
