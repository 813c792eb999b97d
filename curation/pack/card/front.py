"""What stands at the head of a hub's README: YAML that the hub reads. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

SPLITS = {"val": "validation"}
"""What a hub calls a side of the split, where it is called otherwise."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


_UNPRINTED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON may have in a text as it is, and YAML may not, or takes for the end of a line."""


def front_matter(
    title: str, licence: str | None, samples: int, data_files: Mapping[str, str], tags: Sequence[str] = ()
) -> list[str]:
    """Its lines.

    Args:
        title: of the dataset.
        licence: of it as a whole, by its id of SPDX; those of its sources where None.
        samples: how many it has.
        data_files: split, by the hub's name → its files.
        tags: beside those that all have.
    """
    files = [f"  - split: {split}\n    path: {path}" for split, path in data_files.items()]
    licensed = ["license: other", "license_name: those-of-its-sources"]
    return [
        "---",
        f"pretty_name: {_quoted(title)}",
        *([f"license: {licence.lower()}"] if licence else licensed),
        "tags:",
        *(f"- {_quoted(t)}" for t in dict.fromkeys(["earth-observation", "remote-sensing", *tags])),
        f"size_categories:\n- {_size(samples)}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *files,
        "---",
    ]


def _quoted(text: str) -> str:
    """A text in YAML."""
    return _UNPRINTED.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(text, ensure_ascii=False))


def _size(count: int) -> str:
    """The hub's word for how many rows there are."""
    return next((word for most, word in _SIZES if count < most), "n>1M")
