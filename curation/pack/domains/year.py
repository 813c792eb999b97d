"""The years in which a sample's scenes were taken, UTC."""

import datetime as dt
import re
from collections.abc import Iterable

from curation.pack.domains.domain import BuiltPatch, Domain

_SENSED = re.compile(r"S[1-5][A-Z]_.*?_(\d{4})\d{4}T\d{6}_")
"""Where names of Copernicus' products say when sensing began, which comes first of their times."""


def _of(patch: BuiltPatch) -> Iterable[str]:
    """Of a composite those of its days, of a mean those that its scenes' names tell, too: its time is that of the middle."""
    if days := patch.words("dates"):
        return [day[:4] for day in days]
    years = [str(dt.datetime.fromtimestamp(t, dt.UTC).year) for t in patch.each("time")]
    return [*years, *(m[1] for s in patch.scenes if len(patch.scenes) > 1 and (m := _SENSED.match(s)))]


DOMAIN = Domain("Year", of_patch=_of)
