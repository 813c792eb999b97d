"""Where `stac_queries/` and `manifests/` lie: the one place that finds them.

In a checkout (and an editable install) they stand at the top level beside the package; a wheel carries them inside it.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def folder(name: str) -> Path:
    """The folder `stac_queries` or `manifests`.

    Raises:
        FileNotFoundError: the installation carries neither form of it.
    """
    in_wheel, in_checkout = _PACKAGE / "_data" / name, _PACKAGE.parent / name
    for path in (in_wheel, in_checkout):
        if path.is_dir():
            return path
    raise FileNotFoundError(
        f"{name}/: found neither {in_wheel} nor {in_checkout}; the installation is incomplete, reinstall curation"
    )
