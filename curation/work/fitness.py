"""Whether a machine of somebody else's cluster can do our work, and what it lacks: in one line, from what it says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.errors.printable import printable

ALIKE = ("dask", "distributed")
"""Packages that all machines of a cluster must have in one version: what they say to one another changes with each."""


def of_versions(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """What is wrong with a machine by the versions that Dask tells of it, compared with those here; empty where nothing is.

    Of Python the minor version counts: what is pickled in one may not be read in another.
    """
    if _minor(theirs.get("python")) != _minor(ours.get("python")):
        return (
            f"runs Python {_short(theirs.get('python'))}, this is {_short(ours.get('python'))}: it has to be the same"
        )
    for name in ALIKE:
        if theirs.get(name) != ours.get(name):
            return f"runs {name} {theirs.get(name)}, this is {ours.get(name)}: install the same version on all"
    return ""


def of_answer(theirs: Mapping[str, str], ours: Mapping[str, str], where: str = "", server: str = "") -> str:
    """What is wrong with a machine by what it says of itself (`probe.look`); empty where nothing is.

    Args:
        theirs: its answer.
        ours: the answer of this machine.
        where: how a person names the store that results go to.
        server: the address that it was to reach, where a catalog is served on loopback.
    """
    version = ours["curation"]
    lacks, what = theirs.get("lacks", ""), theirs.get("what", "")
    if "curation" in theirs and theirs["curation"] != version:
        return f"runs curation {theirs['curation']}, this is {version}: install the same version on all"
    if lacks == "curation":
        return f"has no curation, cannot import it ({what}): install curation {version} there"
    if theirs["sources"] != ours["sources"]:
        return (
            f"runs other sources of curation {version} (sha256 {theirs['sources'][:12]}, here {ours['sources'][:12]}): "
            "install the same on all"
        )
    if lacks == "store":
        return (
            f"cannot read and write {where} as this machine does ({printable(what)}): take a --root that all machines "
            "share, and give each the credentials that it needs"
        )
    if lacks == "server":
        return (
            f"cannot reach the catalog ({what}), which is served at {server} for its own machine alone: take workers there "
            "(--scheduler local), or a catalog that all machines reach"
        )
    if lacks:
        return f"cannot import {lacks} ({what}): install curation {version} there with all that it depends on"
    return ""


def _minor(python: Any) -> list[str]:
    return str(python).split(".")[:2]


def _short(python: Any) -> str:
    return ".".join(str(python).split(".")[:3])
