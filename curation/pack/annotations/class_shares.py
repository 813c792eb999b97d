"""The share of each class of a foreign dataset's sample, as its own table has it."""

from __future__ import annotations

import json

from curation.pack.subject import Subject
from curation.recipe.foreign import SHARES_COLUMN


def class_shares(sample: Subject) -> list[float] | None:
    """Of each class of the recipe, in order; None of a sample of which the table says nothing."""
    said = sample.location.get("columns", {}).get(SHARES_COLUMN)
    return None if said is None else [float(v) for v in json.loads(said)]
