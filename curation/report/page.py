"""One HTML page of what is in a dataset: drawn from what was recorded and is still that. Damage is named on it."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from curation.errors import ConfigError, DamageError
from curation.errors.codes import CODE_HELP, Code
from curation.errors.words import counted
from curation.format import index
from curation.format.index import Index
from curation.model import STATIC, Location
from curation.outcomes import PENDING
from curation.pack import meta, pruned, sharing, writers
from curation.pack.labels.imported import release_digest
from curation.pack.sides import BUFFER, DROPPED_BY_RULE, TRAIN, UNLABELLED
from curation.pack.split import Split
from curation.recipe import synthetic
from curation.recipe.dataset import Dataset
from curation.report import cards, contact_sheet, graphs, maps, measurements, palette, panels, splits
from curation.report import survey as surveys
from curation.report.splits import NOTHING, OwnTables, SplitView
from curation.report.survey import Survey
from curation.store import paths
from curation.store.objects import Store
from curation.work.progress import Doing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Map:
    """One map, and what is said of it."""

    title: str
    svg: Markup
    counts: dict[str, int]
    note: str


def write(dataset: Dataset, store: Store, out: Path | None, own: OwnTables = NOTHING) -> tuple[str, str]:
    """Where the report of a dataset was written (`<root>/<dataset>/report.html`, or `out`), and the page.

    Args:
        dataset: the recipe it was built by.
        store: its folder, `<root>/<dataset>`.
        out: a local file to write instead.
        own: what the user has of samples, which the part on the split draws.

    Beside the page lies what it says of the split, as JSON: `split.json`, or `<name>.split.json` of another page.

    Raises:
        ConfigError: nothing is built there, it was built by another recipe, or `out` is a folder; or of what the user has
            nothing is of a sample here.
    """
    if out is not None and out.is_dir():
        raise ConfigError(f"--out {out}: is a folder, expected the name of a file; say --out {out / paths.REPORT}")
    page, split = _rendered(dataset, store, own)
    data = page.encode()
    where, key = (store, paths.REPORT) if out is None else (Store(out.absolute().parent), out.name)
    where.publish(key, data)
    beside = paths.SPLIT_FACTS if out is None else f"{out.stem}.{paths.SPLIT_FACTS}"
    if split is not None:
        where.publish(beside, (json.dumps(split.facts, indent=1) + "\n").encode())
    elif out is None and where.head(beside) is not None:
        where.delete(beside)
    log.info("report: %.1f MB", len(data) / 1e6)
    return where.where(key), page


def render(dataset: Dataset, store: Store) -> str:
    """The page. Raises as `write` does."""
    return _rendered(dataset, store, NOTHING)[0]


def _rendered(dataset: Dataset, store: Store, own: OwnTables) -> tuple[str, SplitView | None]:
    """The page, and what it says of the split."""
    with Doing("report: reading what is recorded"):
        survey = surveys.survey(dataset, store)
        index = _index(survey)
        dropped = _dropped(survey)
    with Doing("report: drawing"):
        split = splits.view(survey, index, own)
        if split is None and own != NOTHING:
            raise ConfigError(
                f"{store.where('')}: scores and features are of samples of a split, and there is none: pack first"
            )
        return _drawn(dataset, survey, index, dropped, split), split


def _drawn(
    dataset: Dataset,
    survey: Survey,
    index: Index | None,
    dropped: list[tuple[str, str, int]],
    split: SplitView | None,
) -> str:
    """The page of what was read."""
    recipe = dataset.recipe
    rows = contact_sheet.rows(survey)
    bars, colours = measurements.outcomes(survey)
    context = {
        "dataset": dataset,
        "recipe": recipe,
        "synthetic": synthetic.about(survey.asked),
        "cards": _cards(survey, index),
        "facts": _facts(survey, index),
        "maps": drawn_maps(survey),
        "split": split,
        "graph": graphs.view(survey),
        "outcome_colours": palette.OUTCOMES,
        "rows": rows,
        "captioned": cards.cards(survey, index),
        "legends": _legends(survey),
        "about_rows": contact_sheet.words(survey),
        "bars": bars,
        "most": max((bar.total for bar in bars), default=0),
        "outcomes": Markup(measurements.legend(colours)),
        "rejects": _rejects(survey),
        "labels": measurements.labels(survey),
        "refined": measurements.refined_labels(survey, index),
        "label_names": [n.replace("_", " ") for n in meta.label_names(dataset)],
        "bands": measurements.bands(survey),
        "quality": measurements.quality(survey),
        "seasons": dataset.season_names(),
        "dates": measurements.dates(survey),
        "dropped": dropped,
        "packed": index is not None,
        "sources": _sources(dataset),
        "slabs": (survey.slabs_read, survey.slabs_in_ledgers),
        "help": _help,
        "in_words": panels.place_in_words,
        "left_out": survey.left_out,
        "damage": list(survey.damage),  # last: all that was read above has found what is damaged
    }
    for line in survey.damage:
        log.warning("damaged: %s", line)
    return templates().get_template("report.html.j2").render(context)


def templates() -> jinja2.Environment:
    """What pages are made of."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("curation.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _index(survey: Survey) -> Index | None:
    """The shards' index; None where nothing is packed, or it is damaged."""
    store = survey.store.child(paths.SHARDS)
    if store.head(index.INDEX) is None:
        return None
    try:
        return Index.from_bytes(store.get(index.INDEX), store.where(index.INDEX))
    except DamageError as err:
        survey.damage[str(err)] = None
        return None


def _dropped(survey: Survey) -> list[tuple[str, str, int]]:
    """(region, reason, places) of those that became no sample, the most common first; rows of a file have no region."""
    key = paths.DROPPED
    if survey.store.head(key) is None:
        return []
    try:
        table = pq.read_table(io.BytesIO(survey.store.get(key)), columns=["region", "reason"])
    except (pa.ArrowException, OSError) as err:
        survey.damage[f"{survey.store.where(key)}: not a readable GeoParquet file: {err}; pack again"] = None
        return []
    counts = Counter(zip(table["region"].to_pylist(), table["reason"].to_pylist(), strict=True))
    return [(region, reason, n) for (region, reason), n in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))]


def _cards(survey: Survey, index: Index | None) -> list[tuple[str, str, str]]:
    """(number, what it counts, detail) at the head of the page."""
    statuses = survey.statuses()
    ids = {p.id for r in survey.regions for p in survey.places(r)}
    sizes = {name: sum(s.size for s in survey.store.list(name)) for name in (paths.CUBES, paths.SHARDS)}
    total = statuses.total()
    not_ok = ", ".join(f"{v:,} {k}" for k, v in sorted(statuses.items()) if k != "ok") or "none rejected"
    samples = {k: e.samples for k, e in index.splits.items()} if index else {}
    return [
        (f"{len(ids):,}", "locations", f"in {counted(len(survey.regions), 'region')}"),
        (f"{statuses['ok']:,}", f"of {total:,} patches ok", not_ok),
        (
            f"{sum(samples.values()):,}" if index else "–",
            "samples",
            ", ".join(f"{v:,} {k}" for k, v in sorted(samples.items(), key=lambda kv: -kv[1]))
            if index
            else "not packed",
        ),
        (
            _bytes(sum(sizes.values())),
            "on disk",
            f"cubes {_bytes(sizes[paths.CUBES])}, shards {_bytes(sizes[paths.SHARDS])}",
        ),
    ]


def _facts(survey: Survey, index: Index | None) -> list[tuple[str, str]]:
    """Name and value of what identifies the dataset."""
    recipe = survey.dataset.recipe
    pixels = sorted({str(c.ledger.binding.get("pixels")) for c in survey.cubes.values()})
    read = {name: its["identity"] for name, its in (index.counts.get("read", {}) if index else {}).items()}
    own = release_digest(survey.dataset, survey.imported, survey.target(index), read)
    release = pruned.release_digest(own, pruned.record_of(index) if index else None)
    out = [
        ("recipe", str(survey.dataset.path)),
        ("folder", survey.store.where("")),
        ("footprint", ", ".join(_footprint(level) for level in survey.dataset.levels)),
        ("seasons", ", ".join(f"{n} {s.about}" for n, s in recipe.seasons.items())),
        ("pixels digest", ", ".join(pixels)),
        ("release digest", index.release_digest if index else release),
    ]
    if index and (asked := index.counts.get("catalogs")):
        out.append(("catalogs", _catalogs(asked)))
    out.append(("split", survey.split.about))
    if index:
        out.append(("content sha256", index.content_sha256))
        if index.release_digest != release:
            out.append(
                (
                    "note",
                    "the shards were packed by other labels, split or packing than recipe and imports now say: pack again",
                )
            )
    if index and (both := index.counts.get("shared")):
        out.append(("the split's sides share", sharing.summary({k: sharing.Shared(**v) for k, v in both.items()})))
    versions = index.written_by if index else writers.versions()
    out.append(("packed with" if index else "versions here", ", ".join(f"{k} {v}" for k, v in versions.items())))
    return out


def _catalogs(asked: Mapping[str, str]) -> str:
    """Who was asked for scenes: a name where it is one for all sources, else each with its sources."""
    of = {its: [source for source, name in asked.items() if name == its] for its in asked.values()}
    return next(iter(of)) if len(of) == 1 else "; ".join(f"{its}: {', '.join(names)}" for its, names in of.items())


def _footprint(level: Dataset) -> str:
    size = f"{level.recipe.grid.size:g} {level.recipe.grid.unit}"
    return f"{level.level}: {size}" if level.level else size


def drawn_maps(survey: Survey) -> list[Map]:
    """The whole world where locations are spread out, then a map per region."""
    by_region = {r: places for r in survey.regions if (places := survey.places(r))}
    states = {r: {p.id: survey.state(r, p.id) for p in places} for r, places in by_region.items()}
    every = list({p.id: p for places in by_region.values() for p in places}.values())
    out = []
    if every and maps.spread(every):
        merged = {i: s for r in reversed(list(states)) for i, s in states[r].items()}
        out.append(_map("the world", merged, every, survey.split, maps.world, "map-world"))
    return out + [
        _map(r, states[r], places, survey.split, maps.region, f"map-{n}")
        for n, (r, places) in enumerate(by_region.items())
    ]


def _map(
    title: str, states: dict[str, str], places: list[Location], split: Split, draw: Callable[..., str], name: str
) -> Map:
    aside = {p.id for p in places if split.of(p) not in ("", TRAIN, UNLABELLED)}
    counts = Counter(states.values())
    numbers = ", ".join(f"{v} {k}" for k, v in sorted(counts.items()))
    svg = draw(states, places, aside, name, f"Map of {title}: {counted(len(states), 'location')}, {numbers}")
    return Map(
        title,
        Markup(svg),
        {k: counts[k] for k in palette.OUTCOMES if counts[k]},
        maps.note(places, aside, packed=split.packed),
    )


def _legends(survey: Survey) -> list[tuple[str, Markup]]:
    """A legend per class map."""
    return [
        (
            spec.title,
            Markup(
                measurements.legend(
                    {c.name.replace("_", " "): palette.classes(spec.kind.legend)[c.code] for c in spec.kind.legend}
                )
            ),
        )
        for spec in survey.dataset.specs.values()
        if spec.kind.legend
    ]


def _rejects(survey: Survey) -> list[tuple[str, str, str, str, int]]:
    """(region, season, reason, meaning, patches) of all that is not ok."""
    order = {s: n for n, s in enumerate([STATIC, *survey.dataset.season_names()])}
    out = []
    for (region, season), counts in sorted(survey.counts().items(), key=lambda kv: (kv[0][0], order[kv[0][1]])):
        out += [(region, season, r, _help(r), n) for r, n in counts.most_common() if r != "ok" and n]
    return out


def _help(reason: str) -> str:
    """What a reason means: the code in it, explained."""
    if reason == PENDING:
        return "not built yet"
    if reason == BUFFER:
        return "too near to the other split, or of neither"
    if reason.startswith("shared:"):
        return "uses what a sample of another side uses, which the recipe does not allow"
    if reason in DROPPED_BY_RULE:
        return DROPPED_BY_RULE[reason]
    if reason == "target":
        return "beyond the number of samples asked for"
    found = [CODE_HELP[c] for c in Code if c.value in reason.replace("(", ":").replace(" ", ":").split(":")]
    if "pending" in reason:
        return "a season is not built yet"
    return found[0] if found else "failed: the ledger has the cause; the same command tries again"


def _sources(dataset: Dataset) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "title": spec.title,
            "required": dataset.recipe.sources[spec.name].required,
            "season": STATIC if spec.timeless else "seasonal",
            "arrays": [f"{n}: {_commas(a.bands)} · {a.dtype} · {a.unit}" for n, a in dataset.arrays[spec.name].items()],
            "licence": spec.licence,
        }
        for spec in dataset.specs.values()
    ]


def _commas(names: Iterable[str]) -> str:
    return ", ".join(names)


def _bytes(size: int) -> str:
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 100 else f"{value:.1f} {units[0]}"
