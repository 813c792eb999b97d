"""What each verb does: a step of `curation.api`, what it returns printed. All return an exit code."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from typing import Any

from curation.api.distance import distance
from curation.api.folder import DatasetFolder, load
from curation.api.importing import import_dataset
from curation.api.mended import diff
from curation.api.results import Result
from curation.api.sources import check_source
from curation.errors import ConfigError
from curation.errors.printable import printable

log = logging.getLogger(__name__)

OK, FAILED, USAGE = 0, 1, 2
"""Exit codes: all settled; some failed, unfinished or damaged, or nothing more can be kept (rerun, or do what is said); bad
usage or configuration. A command that was stopped ends with 128 and the signal's number."""


def _loaded(args: argparse.Namespace) -> DatasetFolder:
    """The dataset, with those of its flags that the verb has."""
    names = [n for n in ("scheduler", "workers") if hasattr(args, n)]
    catalog, apart = _catalogs(getattr(args, "catalog", []))
    how = {n: getattr(args, n) for n in names}
    return load(args.dataset, args.root, catalog=catalog, catalogs=apart, **how)


_SOURCE = re.compile(r"[a-z0-9*?-]+")
"""What stands before the `=` of `--catalog SOURCE=C`: a name or a pattern, never the beginning of a URL."""


def _catalogs(said: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """The catalog for all, and those by source, of what `--catalog` was given; of one thing said twice the last.

    Raises:
        ConfigError: nothing is said of a source.
    """
    catalog, apart = None, dict[str, str]()
    for text in said:
        source, equals, rest = text.partition("=")
        if not (equals and _SOURCE.fullmatch(source)):
            catalog = text
        elif not rest:
            raise ConfigError(f"--catalog {printable(text)}: no catalog after '='; expected --catalog {source}=C")
        else:
            apart[source] = rest
    return catalog, apart


def _printed(result: Result, *wrong: str) -> int:
    """Prints what a step returned, and on standard error what is wrong beside it; gives the exit code."""
    print(result)
    for line in filter(None, wrong):
        print(f"curate: {line}", file=sys.stderr)
    return OK if result.ok else FAILED


def do_build(args: argparse.Namespace) -> int:
    """Builds cubes, or tells what that would be (`--dry-run`)."""
    made, allowed = _loaded(args), args.allow_unknown_labels
    if args.calibrate and not args.dry_run:
        raise ConfigError("--calibrate is of --dry-run: give both")
    if args.dry_run:
        how = {"limit": args.limit, "allow_unknown_labels": allowed, "labels": args.labels, "run_code": args.run_code}
        return _printed(made.estimate(args.region, args.season, calibrate=args.calibrate, **how))
    built = made.build(
        args.region,
        args.season,
        limit=args.limit,
        refresh_search=args.refresh_search,
        allow_unknown_labels=allowed,
        labels=args.labels,
        run_code=args.run_code,
        check=False,
    )
    return _printed(built, built.unreadable, built.damaged)


def do_locate(args: argparse.Namespace) -> int:
    """Draws the places of a recipe."""
    return _printed(_loaded(args).locate(args.region))


def do_pack(args: argparse.Namespace) -> int:
    """Packs cubes into shards."""
    return _printed(_loaded(args).pack(args.region, run_code=args.run_code, labels=args.labels))


def do_labels(args: argparse.Namespace) -> int:
    """Imports labels, or removes those that were."""
    made = _loaded(args)
    return _printed(made.remove_labels() if args.action == "remove" else made.import_labels(args.file, args.region))


def do_labels_of_earthengine(args: argparse.Namespace) -> int:
    """Takes labels from Dynamic World at Earth Engine."""
    how = {"project": args.project, "endpoint": args.endpoint, "dry_run": args.dry_run}
    made = _loaded(args).labels_of_earthengine(args.region, check=False, **how)
    return _printed(made, _why(made))


def do_labels_by_model(args: argparse.Namespace) -> int:
    """Takes labels from a model."""
    how = {"source": args.source, "constants": args.constants, "dry_run": args.dry_run}
    made = _loaded(args).labels_by_model(args.file, args.region, check=False, **how)
    return _printed(made, _why(made))


def _why(result: Result) -> str:
    """What is wrong with a result; empty where nothing is."""
    err = result.error()
    return "" if err is None else printable(err)


def do_verify(args: argparse.Namespace) -> int:
    """Proves cubes and shards from their bytes."""
    return _printed(_loaded(args).verify(check=False))


def do_report(args: argparse.Namespace) -> int:
    """Draws the page of a dataset."""
    return _printed(_loaded(args).report(args.out, scores=args.scores, features=args.features))


def do_show(args: argparse.Namespace) -> int:
    """Draws one patch."""
    made = _loaded(args)
    if args.tif is not None:
        if args.out is not None:
            raise ConfigError("--out is for the picture, --tif for GeoTIFFs instead of it: give one of them")
        if args.caption:
            raise ConfigError("--caption is of the picture, --tif writes GeoTIFFs instead of it: give one of them")
        print("\n".join(made.write_tifs(args.patch, args.tif)))
        return OK
    shown = made.show(args.patch, args.out, caption=args.caption, check=False)
    if args.out is None:
        log.info("show: written to the current folder; --out chooses another place")
    return _printed(shown, *shown.damage)


def do_worst(args: argparse.Namespace) -> int:
    """Draws the worst patches by a fact."""
    worst = _loaded(args).worst(args.by, args.n, args.region, args.season, out=args.out, check=False)
    return _printed(worst, *worst.found.damage)


def do_diff(args: argparse.Namespace) -> int:
    """Tells what two releases differ in."""
    found = diff(args.a, args.b, args.dataset)
    print(found.to_json() if args.json else found)
    return OK if found.ok else FAILED


def do_gc(args: argparse.Namespace) -> int:
    """Tells, and deletes, what nothing refers to."""
    if args.cubes and not args.delete:
        raise ConfigError("--cubes says what --delete deletes, too: give both")
    if args.dry_run and args.delete:
        raise ConfigError("--dry-run deletes nothing, --delete does: give one of them")
    return _printed(_loaded(args).gc(delete=args.delete, cubes=args.cubes))


def do_export(args: argparse.Namespace) -> int:
    """Writes what is built or packed in another form."""
    how = {"select": args.select, "limit": args.limit, "dry_run": args.dry_run}
    return _printed(_loaded(args).export(args.form, args.to, args.region, args.season, **how))


def do_view(args: argparse.Namespace) -> int:
    """Packs samples again, as images with texts."""
    looks = "source season bands limits percentiles gamma image caption least_valid per_tar"
    how = {n: getattr(args, n) for n in (*looks.split(), "select", "limit", "readers", "dry_run")}
    return _printed(_loaded(args).view(args.name, args.to, args.region, **how))


def do_rewrite_captions(args: argparse.Namespace) -> int:
    """Has captions rewritten by a program."""
    how = {k: getattr(args, k) for k in ("model", "prompt", "annotation", "out", "limit", "dry_run")}
    result = _loaded(args).rewrite_captions(args.command, timeout_s=args.timeout, check=False, **how)
    return _printed(result, _why(result))


def do_card(args: argparse.Namespace) -> int:
    """Writes the cards of a release anew."""
    return _printed(_loaded(args).card(pictures=not args.no_pictures))


def do_publish(args: argparse.Namespace) -> int:
    """Lays a release out for a hub."""
    return _printed(_loaded(args).publish(args.to, dry_run=args.dry_run))


def do_graph(args: argparse.Namespace) -> int:
    """Makes the graph of what is packed."""
    edges = None if args.edges == "all" else [e for e in args.edges.split(",") if e]
    how = {"k": args.k, "radius_km": args.radius_km, "like": args.like, "like_k": args.like_k, "mesh": args.mesh}
    nodes = {"cells": args.cells, "variables": [v for v in args.variables.split(",") if v]}
    return _printed(_loaded(args).graph(args.to, edges=edges, dry_run=args.dry_run, **how, **nodes))


def do_probe(args: argparse.Namespace) -> int:
    """Probes features of what is packed."""
    names = ("labels", "folds", "sides", "block_deg", "by", "arrays", "places", "draws", "seed", "out", "run_code")
    how = {n: getattr(args, n) for n in names}
    return _printed(_loaded(args).probe(*args.encoders, probes=args.probe, seasons=args.season, **how))


def do_embed(args: argparse.Namespace) -> int:
    """Makes features of what is packed."""
    how = {"limit": args.limit, "seed": args.seed, "run_code": args.run_code, "to": args.to}
    return _printed(_loaded(args).embed(args.way, arrays=_names(args.arrays), **how))


def do_distance(args: argparse.Namespace) -> int:
    """Compares parts of packed datasets."""
    names = (
        "by",
        "way",
        "limit",
        "dims",
        "block_deg",
        "seed",
        "permutations",
        "run_code",
        "scheduler",
        "workers",
        "out",
    )
    how: dict[str, Any] = {n: getattr(args, n) for n in names}
    how |= {n: _names(getattr(args, n)) for n in ("arrays", "measures")}
    found = distance(*args.sides, keep=not args.no_keep, **how)
    print(found.to_json() if args.json else found)
    return OK


def do_prune(args: argparse.Namespace) -> int:
    """Decides which samples of a release the next packing leaves out, or forgets that."""
    made = _loaded(args)
    if args.undo:
        if args.dry_run:
            raise ConfigError("--undo forgets what was decided, --dry-run writes nothing: give one of them")
        return _printed(made.undo_prune())
    from curation.worth.prune.rules import PruneRules

    shares = (
        "least_overlap",
        "same_overlap",
        "alike",
        "sure_by",
        "most_of_class",
        "block_deg",
        "least_information",
        "keep",
        "clusters",
        "seed",
    )
    how = {n: getattr(args, n) for n in shares}
    how |= {n: tuple(_names(getattr(args, n)) or ()) for n in ("rules", "splits", "balance")}
    rules = PruneRules(**how)
    return _printed(made.prune(rules, way=args.way, run_code=args.run_code, dry_run=args.dry_run))


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [n for n in text.split(",") if n]


def do_audit(args: argparse.Namespace) -> int:
    """Draws patches to be marked, serves the page where they are, or says what marks come to."""
    made = _loaded(args)
    if args.score and (args.who or args.dry_run):
        raise ConfigError("--score says what marks come to, --reader and --dry-run are of marking: give one of them")
    if args.score:
        return _printed(made.score_audit(args.to))
    how = {n: getattr(args, n) for n in ("count", "label", "domain", "seed", "least", "dry_run")}
    result = made.audit(args.to, **how)
    if not args.who or args.dry_run:
        return _printed(result)
    pages = {"composites": args.bands, "season": args.season, "port": args.port, "browser": not args.no_browser}
    return _printed(made.mark_audit(args.who, args.to, **pages))


def do_import(args: argparse.Namespace) -> int:
    """Makes a dataset of chips that others made."""
    how = {"scheduler": args.scheduler, "workers": args.workers, "dry_run": args.dry_run}
    result = import_dataset(args.source, args.recipe, args.root, check=False, **how)
    return _printed(result, _why(result))


def do_catalogs(args: argparse.Namespace) -> int:
    """Tells who offers what, and what lets one in."""
    return _printed(_loaded(args).offers())


def do_source(args: argparse.Namespace) -> int:
    """Looks at a source by one item of a catalog and one patch."""
    return _printed(check_source(args.file, args.catalog, check=False))


def do_init(args: argparse.Namespace) -> int:
    """Writes a recipe to start from."""
    from curation.recipe import starter

    print(f"wrote {starter.write(args.folder)}; build it with: curate --dataset {args.folder} --dry-run")
    return OK
