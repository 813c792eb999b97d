"""The Croissant 1.1 card of a release, with GeoCroissant 1.0: what `mlcroissant` opens and search engines of datasets read.

Definitions: mlcommons/croissant, `docs/croissant-spec-1.1.md` and `docs/croissant-geo-spec.md` (2026-04). Each shard is a
FileObject with its sha256; each kind of member a FileSet within them; of each there is a RecordSet. Values of arrays are the
bytes of their members, which `format/payload.py` decodes: the format has no word for arrays in Blosc buffers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curation.format.annotations import AnnotationEntry
from curation.format.bands import BandEntry
from curation.format.index import ArrayEntry, FileEntry, Index
from curation.format.names import META, split_member
from curation.format.signature import bands_of
from curation.model import iso
from curation.pack.card.facts import Box, CardFacts
from curation.recipe.card import CreatorSpec

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/geo/1.0"]

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "geocr": "http://mlcommons.org/croissant/geo/",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "sdLicense": "cr:sdLicense",
    "sdVersion": "cr:sdVersion",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}
"""What the names of a card stand for; those of the specification's own examples."""

_SPLITS = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
_FORMATS = {".tar": "application/x-tar", ".parquet": "application/x-parquet", ".json": "application/json"}
_COLUMNS = {
    "id": ("sc:Text", "Key of the sample: the location's id"),
    "lon": ("sc:Float", "Longitude of the centre, degrees, WGS 84"),
    "lat": ("sc:Float", "Latitude of the centre, degrees, WGS 84"),
    "region": ("sc:Text", "Region that the location was selected by"),
    "shard": ("sc:Integer", "Number of its shard among those of its side of the split"),
}
"""Of every samples table; domain columns come on top."""


def croissant(facts: CardFacts, shards: str) -> dict[str, Any]:
    """The card.

    Args:
        facts: what it says.
        shards: the path from the card to the folder of shards.
    """
    spec, index = facts.spec, facts.index
    said: dict[str, Any] = {
        "creator": [_creator(c) for c in spec.creators],
        "publisher": {"@type": "Organization", "name": spec.publisher} if spec.publisher else None,
        "datePublished": spec.published.isoformat() if spec.published else None,
        "version": spec.version,
        "url": spec.url or (spec.identifier if spec.identifier and spec.doi is None else None),
        "identifier": f"https://doi.org/{spec.doi}" if spec.doi else spec.identifier,
        "citeAs": _citation(facts),
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": facts.title,
        "description": facts.description,
        "license": facts.licence_urls,
        "keywords": [*dict.fromkeys([*facts.keywords, "earth observation", *(s.title for s in facts.sources)])],
        **{key: value for key, value in said.items() if value},
        **_geography(facts),
        "creditText": "; ".join(dict.fromkeys(s.attribution for s in facts.credited)),
        "isBasedOn": [s.about for s in facts.credited if s.about and s.is_observed],
        "distribution": [*_files(index, shards), *_file_sets(index)],
        "recordSet": [_splits(index), *_samples(index), *_members(facts)],
    }


def box_text(box: Box) -> str:
    """A box as schema.org has it, latitude first: south, west, north, east."""
    west, south, east, north = box
    return f"{south} {west} {north} {east}"


def _creator(creator: CreatorSpec) -> dict[str, Any]:
    out: dict[str, Any] = {"@type": "Person" if creator.is_person else "Organization", "name": creator.name}
    if creator.orcid:
        out["url"] = f"https://orcid.org/{creator.orcid}"
    if creator.affiliation:
        out["affiliation"] = {"@type": "Organization", "name": creator.affiliation}
    return out


def _citation(facts: CardFacts) -> str:
    """How it is cited, of what is said; empty where no creator is."""
    spec = facts.spec
    if not spec.creators:
        return ""
    year = f" ({spec.published.year})" if spec.published else ""
    ends = [spec.publisher, f"https://doi.org/{spec.doi}" if spec.doi else spec.identifier]
    return ". ".join(["; ".join(c.name for c in spec.creators) + year, facts.title, *filter(None, ends)])


def _geography(facts: CardFacts) -> dict[str, Any]:
    """Where and when, and what GeoCroissant says of pixels."""
    out: dict[str, Any] = {
        "spatialCoverage": {"@type": "Place", "geo": {"@type": "GeoShape", "box": box_text(facts.box)}},
        "geocr:coordinateReferenceSystem": "EPSG:4326",
        "geocr:spatialIndex": list(facts.cells),
        "geocr:samplingStrategy": facts.sampling,
        "geocr:spatialBias": "Samples by region: " + ", ".join(f"{r} {n}" for r, n in facts.regions.items()),
        **_spectrum(facts.bands),
    }
    if facts.interval:
        out["temporalCoverage"] = "/".join(t.strftime("%Y-%m-%d") for t in facts.interval)
        out["geocr:temporalResolution"] = "; ".join(f"{n} {iso(a)}/{iso(b)}" for n, (a, b) in facts.windows.items())
    if finest := [e.res_m for e in facts.data_arrays.values() if e.res_m is not None]:
        out["geocr:spatialResolution"] = _quantity(min(finest), "m")
    return out


def _spectrum(bands: Sequence[BandEntry]) -> dict[str, Any]:
    """Which bands, in order, and where each lies in the spectrum: nm of light, and of a radar that of its frequency."""
    named = {"@type": "geocr:BandConfiguration", "geocr:totalBands": len(bands)}
    out: dict[str, Any] = {"geocr:bandConfiguration": named | {"geocr:bandNameList": [b.name for b in bands]}}
    if spectral := [_spectral(b) for b in bands if b.wavelength_nm() is not None]:
        out["geocr:spectralBandMetadata"] = spectral
    return out


def _spectral(band: BandEntry) -> dict[str, Any]:
    centre = band.wavelength_nm()
    assert centre is not None
    out = {"@type": "geocr:SpectralBand", "name": band.name}
    width = {"geocr:bandwidth": _quantity(band.width_nm, "nm")} if band.width_nm is not None else {}
    return out | {"geocr:centerWavelength": _quantity(round(centre, 3), "nm")} | width


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"@type": "QuantitativeValue", "value": value, "unitText": unit}


def _files(index: Index, shards: str) -> list[dict[str, Any]]:
    """Each shard, and each table of samples."""
    every = [f for s in index.splits.values() for f in (*s.shards, s.samples_table)]
    return [_file(f, shards) for f in every]


def _file(entry: FileEntry, shards: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": entry.name,
        "name": entry.name,
        "contentUrl": f"{shards}/{entry.name}",
        "contentSize": f"{entry.size} B",
        "encodingFormat": next(form for end, form in _FORMATS.items() if entry.name.endswith(end)),
        "sha256": entry.sha256,
    }


def _own_members(index: Index) -> list[str]:
    """Suffixes of the members that samples have themselves: those of children are many, and alike."""
    return [m for m in index.members[1:] if split_member(m).child is None]


def _file_sets(index: Index) -> list[dict[str, Any]]:
    """Members of all shards, by suffix."""
    within = [{"@id": s.name} for split in index.splits.values() for s in split.shards]
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"members/{suffix}",
            "name": f"members/{suffix}",
            "containedIn": within,
            "encodingFormat": _FORMATS[".json"] if suffix == META else "application/octet-stream",
            "includes": f"*.{suffix}",
        }
        for suffix in [META, *_own_members(index)]
    ]


def _splits(index: Index) -> dict[str, Any]:
    """The sides of the split, by Croissant's names for them."""
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            _field("splits/name", "sc:Text", "As samples say it"),
            _field("splits/url", "sc:URL", "What Croissant calls it"),
        ],
        "data": [
            {"splits/name": s, "splits/url": _SPLITS.get(s, f"https://schema.org/{s}")} for s in sorted(index.splits)
        ],
    }


def _samples(index: Index) -> list[dict[str, Any]]:
    """A set of records of each side of the split that has samples: its samples table."""
    return [_table(index, split) for split, entry in sorted(index.splits.items()) if entry.samples]


def _table(index: Index, split: str) -> dict[str, Any]:
    name, table = f"samples-{split}", {"fileObject": {"@id": index.splits[split].samples_table.name}}
    domains = {
        n: ("sc:Float" if entry.kind == "number" else "sc:Text", entry.title)
        for n, entry in sorted(index.columns.items())
    }
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Where each sample of {split} is, in the order of its shards.",
        "key": {"@id": f"{name}/id"},
        "field": [
            _field(f"{name}/{column}", *about) | {"source": table | {"extract": {"column": column}}}
            for column, about in (_COLUMNS | domains).items()
        ],
    }


def _field(identifier: str, kind: str, about: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": identifier,
        "name": identifier.partition("/")[2],
        "description": about,
        "dataType": kind,
    }


def _members(facts: CardFacts) -> list[dict[str, Any]]:
    """A set of records of each kind of member: the sample's key, and the member's bytes."""
    index = facts.index
    known: Mapping[str, ArrayEntry | AnnotationEntry] = {**index.arrays, **index.annotations}
    return [_member(META, None)] + [_member(m, known[split_member(m).array]) for m in _own_members(index)]


def _member(suffix: str, entry: ArrayEntry | AnnotationEntry | None) -> dict[str, Any]:
    """Of arrays, annotations, and of `meta.json` where None: whole, since mlcroissant 1.1.1 reads no JSON within a tar."""
    its = split_member(suffix)
    name = ".".join(filter(None, [its.array, its.season]))
    files = {"fileSet": {"@id": f"members/{suffix}"}}
    key = files | {"extract": {"fileProperty": "filename"}, "transform": {"regex": r"^([a-z0-9_-]+)\."}}
    content = _field(f"{name}/bytes", "sc:Text", _about(entry)) | {
        "source": files | {"extract": {"fileProperty": "content"}}
    }
    record = {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "key": {"@id": f"{name}/sample"},
        "field": [_field(f"{name}/sample", "sc:Text", "Key of the sample: its id") | {"source": key}, content],
    }
    if isinstance(entry, ArrayEntry):
        content |= _spectrum(bands_of(entry))
        record |= {"geocr:spatialResolution": _quantity(entry.res_m, "m")} if entry.res_m is not None else {}
    return record


def _about(entry: ArrayEntry | AnnotationEntry | None) -> str:
    """What the bytes of a member are."""
    if entry is None:
        return "JSON of all that is known of a sample: where it is, scenes, times, labels, what was measured"
    if isinstance(entry, AnnotationEntry):
        return f"{entry.title} ({entry.kind})"
    packed = "a .npy file in a Blosc buffer (numcodecs.Blosc)" if entry.encoding == "npy.blosc" else "a .npy file"
    axes = "time, band, y, x" if entry.steps else "band, y, x"
    return (
        f"{packed}: {entry.dtype} of shape {' × '.join(map(str, entry.shape))} ({axes}), {entry.unit}; no data is "
        f"{entry.nodata:g}; bands {', '.join(entry.bands)}"
    )
