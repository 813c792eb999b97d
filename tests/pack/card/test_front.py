"""Tests of what stands at the head of a hub's page: YAML has what a recipe says, whatever that is."""

from __future__ import annotations

import pytest
import yaml

from curation.pack.card.front import front_matter

TITLES = (
    "no",
    "a: [b]\n---\nc: d",
    "a\x85b",
    "a\x7fb",
    "a\x9fb",
    "a\u2028b",
    "\ufeffa",
    "a\ufffe",
    "\"'#",
    "M\u00fcnchen \U0001f6f0",
)


@pytest.mark.parametrize("title", TITLES)
def test_yaml_has_titles_and_tags_as_they_are(title: str) -> None:
    lines = front_matter(title, None, 1, {"train": "shards/train/*.tar"}, [title])
    assert lines[0] == lines[-1] == "---"
    said = yaml.safe_load("\n".join(lines[1:-1]))
    assert (said["pretty_name"], said["tags"][-1]) == (title, title)
