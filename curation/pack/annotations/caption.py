"""A caption of what covers the ground, by rule: the same sample has the same, and no model is asked."""

from __future__ import annotations

from curation.pack.subject import Subject

_WORDS = ((0.5, "mostly {}"), (0.2, "{}"), (0.05, "a little {}"))
"""Least share of the labelled pixels, and how a label of so much is told; what is less is not."""


def caption(sample: Subject) -> str | None:
    """`mostly trees, a little water`, of the annual map or else the first season with labels; None where unknown."""
    for season in (None, *sample.seasons):
        phrases = []
        for label, share in sorted(sample.fractions(season).items(), key=lambda kv: (-kv[1], kv[0])):
            word = next((word for least, word in _WORDS if share >= least), None)
            phrases += [] if word is None else [word.format(label.replace("_", " "))]
        if phrases:
            return ", ".join(phrases)
    return None
