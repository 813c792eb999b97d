"""The sides of a split."""

from __future__ import annotations

TRAIN, VAL = "train", "val"

SPLITS = (TRAIN, VAL)
"""What samples may be of."""

BUFFER = "buffer"
"""What a place is that is too near to the other side to be used."""
