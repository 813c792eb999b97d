"""The orbit directions of a sample's scenes."""

from collections.abc import Iterable

from curation.pack.domains.domain import BuiltPatch, Domain
from curation.scenes.spelling import ORBIT_STATES


def _of(patch: BuiltPatch) -> Iterable[str]:
    """Of a composite those of its orbits, as `ascending-37`, where they are told."""
    of_each = [found for orbit in patch.words("orbits") if (found := orbit.split("-")[0])]
    return [*patch.each("orbit_state"), *of_each]


DOMAIN = Domain("Orbit direction", of_patch=_of, values=lambda _: ORBIT_STATES)
