"""The STAC collection of a release, an item per shard, and a template that states what a model is given.

Extensions: `file` (size and hash of each file), `scientific` where there is a DOI, `version`, and `mlm` of the template. MLM
describes models, not datasets: whoever publishes a model trained on a release copies the template and fills in its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pystac
import shapely
from pystac.extensions.eo import Band, EOExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.scientific import ScientificExtension
from pystac.extensions.version import VersionExtension

from curation.format.bands import BandEntry
from curation.format.index import INDEX, ArrayEntry, FileEntry
from curation.format.signature import bands_of
from curation.pack.card.facts import Box, CardFacts, CardShard
from curation.store import paths

_MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
_EO = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"
"""What says where `bands` of STAC 1.1 lie in the spectrum; pystac knows the form before it."""
_SHA256 = "1220"
"""What a multihash begins with that is a sha256 of 32 bytes."""
_MEDIA = {".tar": "application/x-tar", ".parquet": "application/vnd.apache.parquet", ".json": "application/json"}
_TEMPLATE = "model-input"


def stac(facts: CardFacts, shards: str, croissant: str) -> Mapping[str, dict[str, Any]]:
    """Key, below the collection's folder, → JSON of each file.

    Args:
        facts: what they say.
        shards: the path from the collection's folder to that of shards.
        croissant: the path from there to the Croissant card.
    """
    items = {_item_key(s): _item(facts, s, shards) for s in facts.shards}
    items[f"{_TEMPLATE}.json"] = _template(facts)
    return {paths.STAC_COLLECTION: _collection(facts, shards, croissant, list(items)), **items}


def _collection(facts: CardFacts, shards: str, croissant: str, items: list[str]) -> dict[str, Any]:
    made = pystac.Collection(
        id=facts.index.dataset,
        title=facts.title,
        description=facts.description,
        extent=pystac.Extent(
            pystac.SpatialExtent([list(facts.box)]),
            pystac.TemporalExtent([list(facts.interval or (None, None))]),
        ),
        license=_licence(facts),
        keywords=[*facts.keywords, *(s.name for s in facts.sources)],
        providers=_providers(facts),
        summaries=pystac.Summaries({"curation:splits": list(facts.index.splits)}),
    )
    made.stac_extensions.append(_EO)
    made.extra_fields["bands"] = [_band(b) for b in facts.bands]
    made.extra_fields["curation:content_sha256"] = facts.index.content_sha256
    made.extra_fields["curation:attribution"] = {s.name: s.attribution for s in facts.credited}
    made.add_asset(
        "index",
        pystac.Asset(f"{shards}/{INDEX}", "Index of the shards", media_type=_MEDIA[".json"], roles=["metadata"]),
    )
    for split, entry in facts.index.splits.items():
        _add_file(made, f"samples-{split}", entry.samples_table, shards, f"Samples of {split}", "metadata")
    made.add_asset(
        "croissant", pystac.Asset(croissant, "Croissant", media_type="application/ld+json", roles=["metadata"])
    )
    if facts.spec.doi:
        ScientificExtension.ext(made, add_if_missing=True).apply(doi=facts.spec.doi)
    if facts.spec.version:
        VersionExtension.ext(made, add_if_missing=True).apply(facts.spec.version)
    value: dict[str, Any] = made.to_dict(include_self_link=False)
    links = [_link("root", f"./{paths.STAC_COLLECTION}")]
    links += [_link("license", url, "text/html") for url in facts.licence_urls]
    links += [_link("derived_from", s.about, "text/html") for s in facts.credited if s.about and s.is_observed]
    links += [_link("item", f"./{key}", "application/geo+json") for key in items]
    return value | {"links": links}


def _licence(facts: CardFacts) -> str:
    """An id of SPDX where the publisher says one; else `other`: those of several sources, which are linked to."""
    said = facts.spec.licence
    return said if said and "://" not in said else "other"


def _providers(facts: CardFacts) -> list[pystac.Provider]:
    role = pystac.ProviderRole
    out = [pystac.Provider(c.name, roles=[role.PRODUCER]) for c in facts.spec.creators]
    if facts.spec.publisher:
        out.append(pystac.Provider(facts.spec.publisher, roles=[role.HOST], url=facts.spec.url))
    return out + [
        pystac.Provider(s.title, description=s.attribution, roles=[role.LICENSOR], url=s.about or None)
        for s in facts.credited
    ]


def _item_key(shard: CardShard) -> str:
    return f"{shard.entry.name.removesuffix('.tar')}.json"


def _item(facts: CardFacts, shard: CardShard, shards: str) -> dict[str, Any]:
    """A shard: the box around its samples, and the time that all windows span."""
    made = pystac.Item(
        id=shard.entry.name.rpartition("/")[2].removesuffix(".tar"),
        geometry=_rectangle(shard.box),
        bbox=list(shard.box),
        datetime=None if facts.interval else _never(),
        properties={"curation:split": shard.split, "curation:samples": shard.entry.samples},
        **_span(facts),
    )
    made.collection_id = facts.index.dataset
    up = "/".join([".."] * _item_key(shard).count("/"))
    _add_file(made, "shard", shard.entry, f"{up}/{shards}" if up else shards, f"{shard.entry.samples} samples", "data")
    value: dict[str, Any] = made.to_dict(include_self_link=False)
    return value | {"links": _above(up or ".")}


def _never() -> Any:
    """What STAC wants where nothing has a time: an instant, and there is none but the first that it knows."""
    return pystac.utils.str_to_datetime("1970-01-01T00:00:00Z")


def _span(facts: CardFacts) -> dict[str, Any]:
    return dict(zip(("start_datetime", "end_datetime"), facts.interval, strict=True)) if facts.interval else {}


def _rectangle(box: Box) -> dict[str, Any]:
    found: dict[str, Any] = shapely.geometry.mapping(shapely.box(*box))
    return found


def _add_file(
    to: pystac.Collection | pystac.Item, key: str, entry: FileEntry, shards: str, title: str, role: str
) -> None:
    media = next(m for end, m in _MEDIA.items() if entry.name.endswith(end))
    to.add_asset(key, pystac.Asset(f"{shards}/{entry.name}", title, media_type=media, roles=[role]))
    FileExtension.ext(to.assets[key], add_if_missing=True).apply(size=entry.size, checksum=f"{_SHA256}{entry.sha256}")


def _above(up: str) -> list[dict[str, str]]:
    collection = f"{up}/{paths.STAC_COLLECTION}"
    return [_link(rel, collection) for rel in ("root", "collection", "parent")]


def _link(rel: str, href: str, media: str = "application/json") -> dict[str, str]:
    return {"rel": rel, "href": href, "type": media}


def _band(band: BandEntry) -> dict[str, Any]:
    """A band as STAC 1.1 has it; wavelengths in micrometres, of light alone, as `eo` has them."""
    out: dict[str, Any] = {"name": band.name}
    if band.common_name:
        out["eo:common_name"] = band.common_name
    if band.centre_nm is not None:
        out["eo:center_wavelength"] = round(band.centre_nm / 1000, 6)
    if band.width_nm is not None:
        out["eo:full_width_half_max"] = round(band.width_nm / 1000, 6)
    return out


def _template(facts: CardFacts) -> dict[str, Any]:
    """A model that is none: its input is what the reader gives of each array, and how that is scaled."""
    made = pystac.Item(
        id=f"{facts.index.dataset}-{_TEMPLATE}",
        geometry=_rectangle(facts.box),
        bbox=list(facts.box),
        datetime=None if facts.interval else _never(),
        properties={
            "description": "A template: the input that shards of this dataset give a model. Copy it, name your model, its "
            "architecture, output and weights, and leave out what it is not given.",
            "mlm:name": "your-model",
            "mlm:architecture": "your-architecture",
            "mlm:tasks": _tasks(facts),
            "mlm:input": [_input(facts, name, entry) for name, entry in facts.data_arrays.items()],
            "mlm:output": [],
        },
        **_span(facts),
    )
    made.stac_extensions.append(_MLM)
    made.collection_id = facts.index.dataset
    made.add_asset(
        "model",
        pystac.Asset(
            "./your-model.pt",
            "Where your weights are",
            roles=["mlm:model", "mlm:weights"],
            extra_fields={"mlm:artifact_type": "torch.save"},
        ),
    )
    # Of items STAC 1.1 has `bands` in assets alone, where the schema of MLM does not look: `eo:bands` both know.
    EOExtension.ext(made.assets["model"], add_if_missing=True).bands = [_eo_band(b) for b in facts.bands]
    value: dict[str, Any] = made.to_dict(include_self_link=False)
    return value | {"links": _above(".")}


def _eo_band(band: BandEntry) -> Band:
    its = _band(band)
    names = {"eo:common_name": "common_name", "eo:center_wavelength": "center_wavelength"}
    names["eo:full_width_half_max"] = "full_width_half_max"
    return Band.create(band.name, **{ours: its[key] for key, ours in names.items() if key in its})


def _tasks(facts: CardFacts) -> list[str]:
    """What its labels are for, in the words of MLM."""
    if (entry := facts.index.target) is not None:
        return ["regression" if entry.classes is None else "scene-classification"]
    return ["scene-classification"] if facts.index.label_names else []


def _input(facts: CardFacts, name: str, entry: ArrayEntry) -> dict[str, Any]:
    """An array as a batch has it, of one season; -1 stands for what differs."""
    axes = (["time"] if entry.steps else []) + ["bands", "height", "width"]
    shape = ([-1] if entry.steps else []) + list(entry.shape)
    out: dict[str, Any] = {
        "name": name,
        "description": f"{entry.unit}; no data is {entry.nodata:g}. Seasons: {', '.join(entry.seasons) or 'static'}",
        "bands": [b.name for b in bands_of(entry)],
        "input": {"shape": [-1, *shape], "dim_order": ["batch", *axes], "data_type": _dtype(entry)},
    }
    scaling = [_scaling(facts, name, band) for band in entry.bands]
    return out | ({"value_scaling": scaling} if all(scaling) else {})


def _dtype(entry: ArrayEntry) -> str:
    return str(np.dtype(entry.dtype).name)


def _scaling(facts: CardFacts, name: str, band: str) -> dict[str, Any] | None:
    """How the reader's `normalize` scales a band: by mean and deviation of the train split; None where nothing is known."""
    its = facts.index.statistics.get(name, {}).get(band)
    if its is None or its.mean is None or not its.std:
        return None
    return {"type": "z-score", "mean": its.mean, "stddev": its.std}
