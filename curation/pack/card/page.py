"""The page that a hub shows of a release: README.md, Markdown with YAML at its head. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from curation.errors.words import counted
from curation.format.index import ArrayEntry
from curation.model import iso
from curation.pack.card.facts import CardFacts, CardSource
from curation.pack.card.front import SPLITS, front_matter
from curation.pack.sides import TRAIN

MOST_HASHES = 200
"""Shards whose hashes the page lists; those of more stand in the Croissant card, and in SHA256SUMS of what is published."""


def page(facts: CardFacts, shards: str, pictures: Sequence[str]) -> str:
    """The page.

    Args:
        facts: what it says.
        shards: the path from the page to the folder of shards.
        pictures: paths from the page to its pictures.
    """
    index, spec = facts.index, facts.spec
    counts = {split: e.samples for split, e in index.splits.items() if e.samples}
    files = {SPLITS.get(split, split): f"{shards}/{split}/*.tar" for split in counts}
    own = spec.licence if spec.licence and "://" not in spec.licence else None
    front = front_matter(facts.title, own, sum(counts.values()), files, ["webdataset", *facts.keywords])
    parts = [
        [f"# {facts.title}", facts.description],
        _who(facts),
        _pictures(facts, pictures),
        ["## What is in it", _lines(_contents(facts, counts))],
        ["## Reading it", *_reading(facts, shards)],
        ["## Arrays", _table(("array", "seasons", "bands", "shape", "dtype", "unit", "nodata"), _arrays(facts))],
        _labels(facts),
        ["## Sources, and whom to name", _lines(_attribution(s) for s in facts.credited)],
        _hashes(facts),
        ["## How it was made", *_made(facts)],
    ]
    return "\n".join(front) + "\n\n" + "\n\n".join(p for part in parts for p in part) + "\n"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body])


def _who(facts: CardFacts) -> list[str]:
    """What the publisher says, and what nobody has said yet."""
    spec = facts.spec
    said = {
        "By": "; ".join(c.name for c in spec.creators),
        "Publisher": spec.publisher,
        "Identifier": f"https://doi.org/{spec.doi}" if spec.doi else spec.identifier,
        "Version": spec.version,
        "Published": spec.published.isoformat() if spec.published else None,
        "Licence": spec.licence,
        "Page": spec.url,
    }
    lines = [f"{name}: {value}" for name, value in said.items() if value]
    missing = [f"Not said by its publisher: {', '.join(spec.missing)}"] if spec.missing else []
    return [_lines([*lines, *missing])] if lines or missing else []


def _pictures(facts: CardFacts, pictures: Sequence[str]) -> list[str]:
    return [f"![{facts.title}: {p.rpartition('/')[2]}]({p})" for p in pictures]


def _contents(facts: CardFacts, counts: dict[str, int]) -> list[str]:
    west, south, east, north = facts.box
    out = [
        ", ".join(f"{n} samples in `{split}`" for split, n in counts.items()),
        f"between {south:.2f}° and {north:.2f}° latitude, {west:.2f}° and {east:.2f}° longitude",
        "by region: " + ", ".join(f"{r} {n}" for r, n in facts.regions.items()),
        *(f"season `{n}`: {iso(start)} until before {iso(end)}" for n, (start, end) in facts.windows.items()),
        facts.sampling,
    ]
    size = sum(s.entry.size for s in facts.shards)
    return [*out, f"{counted(len(facts.shards), 'shard')}, {size / 1e6:.1f} MB"]


def _reading(facts: CardFacts, shards: str) -> list[str]:
    fields = ", ".join(f'"{n}"' for n in list(facts.data_arrays)[:2])
    there = [s for s, e in facts.index.splits.items() if e.samples]
    split = TRAIN if TRAIN in there or not there else there[0]
    ours = f'samples = open_shards("{shards}", "{split}", batch_size=32, fields=[{fields}], shuffle=True)'
    code = ["```python", "from curation.stream import open_shards", "", ours, "```"]
    return [
        "\n".join(code),
        "Shards are plain WebDataset: any reader of it opens them. An array is a `.npy` file, in a Blosc buffer where its "
        "name ends in `.npy.blosc` (`numcodecs.Blosc().decode`, then `numpy.load`), axes band, y, x. `meta.json` says where "
        "each sample is, its scenes, times, and what was measured. `croissant.json` describes all of it for machines.",
    ]


def _arrays(facts: CardFacts) -> list[tuple[str, ...]]:
    return [_row(name, entry) for name, entry in sorted(facts.index.arrays.items())]


def _row(name: str, entry: ArrayEntry) -> tuple[str, ...]:
    shape = " × ".join(map(str, ([f"≤{entry.steps}"] if entry.steps else []) + list(entry.shape)))
    seasons = ", ".join(entry.seasons) or "static"
    return f"`{name}`", seasons, ", ".join(entry.bands), shape, entry.dtype, entry.unit, f"{entry.nodata:g}"


def _labels(facts: CardFacts) -> list[str]:
    index = facts.index
    lines = [f"Scene labels, in order: {', '.join(index.label_names)}"] if index.label_names else []
    if (entry := index.target) is not None:
        classes = f", one of {', '.join(map(str, entry.classes))}" if entry.classes else ", a number"
        lines.append(f"Target: column `{entry.column}`{classes}")
    lines += [f"`{name}`: {entry.title} ({entry.kind})" for name, entry in sorted(index.annotations.items())]
    return ["## Labels and annotations", _lines(lines)] if lines else []


def _attribution(source: CardSource) -> str:
    terms = f" [{source.terms.title}]({source.terms.url})." if source.terms else ""
    about = f" <{source.about}>" if source.about else ""
    said = (
        source.licence
        if source.attribution == source.licence
        else f"{source.licence}. To be named: {source.attribution}"
    )
    stands = "" if source.is_observed else "Synthetic, none of it is theirs; it stands for what has this licence. "
    return f"**{source.title}** (`{source.name}`): {stands}{said}.{terms}{about}"


def _hashes(facts: CardFacts) -> list[str]:
    if len(facts.shards) > MOST_HASHES:
        return ["## Hashes", "The sha256 of each shard stands in `croissant.json`."]
    rows = [(f"`{s.entry.name}`", str(s.entry.samples), f"`{s.entry.sha256}`") for s in facts.shards]
    return ["## Hashes", _table(("shard", "samples", "sha256"), rows)]


def _made(facts: CardFacts) -> list[str]:
    index = facts.index
    versions = ", ".join(f"{k} {v}" for k, v in index.written_by.items())
    lines = [
        f"dataset `{index.dataset}`, content sha256 `{index.content_sha256}`",
        f"index sha256 `{facts.index_sha256}`",
        f"digests of the recipe: pixels `{index.pixels_digest}`, release `{index.release_digest}`",
        f"written by {versions}",
    ]
    return [_lines(lines)]
