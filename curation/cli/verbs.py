"""What each verb does. All return an exit code."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from curation import pipeline
from curation.cubes import selection
from curation.errors import ConfigError
from curation.errors.printable import printable
from curation.errors.words import counted
from curation.places import regions, rows
from curation.recipe import catalogs
from curation.recipe.catalogs import Catalog
from curation.recipe.dataset import Dataset, load_dataset
from curation.scenes.saved import opened
from curation.store.objects import Store
from curation.work import cluster, extras
from curation.work.progress import Doing
from curation.work.run import Run

log = logging.getLogger(__name__)

OK, FAILED, USAGE = 0, 1, 2
"""Exit codes: all settled; some failed, unfinished or damaged, or nothing more can be kept (rerun, or do what is said); bad
usage or configuration. A command that was stopped ends with 128 and the signal's number."""


def _store(args: argparse.Namespace, dataset: Dataset) -> Store:
    with _naming_the_root(args):
        store = Store(args.root).child(dataset.name)
        store.check_answers()
        return store


@contextlib.contextmanager
def _naming_the_root(args: argparse.Namespace) -> Iterator[None]:
    try:
        yield
    except ValueError as err:
        raise ConfigError(f"--root {printable(args.root)}: {err}") from err


def _check_writable(args: argparse.Namespace, store: Store) -> None:
    with _naming_the_root(args):
        store.check_writable()


EMBEDDED = "embedded"


def _catalog(args: argparse.Namespace, dataset: Dataset) -> Catalog:
    """The catalog asked for; the embedded Earth, which is not served yet, has no true address."""
    return catalogs.resolve(args.catalog or dataset.recipe.catalog, served_at="http://127.0.0.1")


@contextlib.contextmanager
def _served(args: argparse.Namespace, dataset: Dataset) -> Iterator[Catalog]:
    """The catalog asked for; the embedded Earth is served meanwhile."""
    name = args.catalog or dataset.recipe.catalog
    if name != EMBEDDED:
        yield catalogs.resolve(name)
        return
    extras.check("earth", f"catalog {EMBEDDED}")
    from curation import embedded  # not where another catalog is asked

    with contextlib.ExitStack() as stack:
        with Doing("embedded Earth: starting its server", often_short=True):
            url = stack.enter_context(embedded.serve())
        log.info("embedded Earth: %s", url)
        yield catalogs.resolve(name, served_at=url)


def do_build(args: argparse.Namespace) -> int:
    """Builds cubes, or tells what that would be (`--dry-run`)."""
    dataset = load_dataset(args.dataset)
    seasons = selection.asked_seasons(dataset, args.season)
    store = _store(args, dataset)
    catalog = _catalog(args, dataset)
    asked = _asked(args, dataset, catalog)
    given = _rows(dataset, asked)
    if args.dry_run:
        code = _dry_run(args, Run(dataset, catalog, store, None, args.limit), asked, seasons)
        _print_notes(asked, given)
        return code
    with _served(args, dataset) as catalog:
        _say_unknown_labels(dataset, catalog, allowed=args.allow_unknown_labels)
        _check_writable(args, store)
        with cluster.connect(args.scheduler, args.workers, store, catalog.here) as client:
            run = Run(dataset, catalog, store, client, args.limit, args.refresh_search)
            results = pipeline.build(run, asked, seasons)
    _print_built(results)
    _print_notes(asked, given)
    failed = sum(b.failed for b in results)
    if failed:
        print(
            f"{counted(failed, 'patch')} failed; the ledger has why: {store.where('ledger')}. Run the same command again."
        )
    unreadable = next((b.unreadable for b in results if b.unreadable), "")
    if unreadable:
        print(f"curate: catalog {catalog.told}: {unreadable}", file=sys.stderr)
    return FAILED if failed or unreadable else OK


def _dry_run(args: argparse.Namespace, run: Run, asked: Sequence[regions.Region], seasons: Sequence[str]) -> int:
    """Asks the catalog what it has, which a build would find out only after the draw, and prints what a build takes."""
    from curation.report import estimate

    unknown = run.catalog.identity != EMBEDDED and _say_unknown_labels(run.dataset, run.catalog, allowed=True)
    print(estimate.table(run, asked, seasons))
    if unknown and not args.allow_unknown_labels:
        print("labels: a build wants --allow-unknown-labels, since this catalog cannot give them")
    return OK


def _asked(args: argparse.Namespace, dataset: Dataset, catalog: Catalog) -> list[regions.Region]:
    """The regions asked for; what is special about them is said before any work."""
    asked = selection.asked_regions(dataset, catalog, args.region)
    for region in asked:
        if region.note:
            log.info("region %s: %s", region.name, region.note)
    return asked


def _print_notes(asked: Sequence[regions.Region], given: rows.Rows | None = None) -> None:
    for region in asked:
        if region.note:
            print(f"region {region.name}: {region.note}")
    if given:
        print(given.told)


def _rows(dataset: Dataset, asked: Sequence[regions.Region]) -> rows.Rows | None:
    """The account of a file of places, which is logged before any work; None where the recipe has none."""
    given = rows.of(dataset, asked)
    if given:
        log.log(logging.WARNING if given.dropped else logging.INFO, "%s", given.told)
    return given


def _say_unknown_labels(dataset: Dataset, catalog: Catalog, *, allowed: bool) -> bool:
    """Whether the catalog lacks a source of labels; which, and what supplies them, is logged.

    Raises:
        ConfigError: it does, and that is not allowed; or the catalog cannot be read, or lacks another source.
    """
    missing = catalogs.missing_labels(dataset, catalog, opened(catalog).collections())
    for name in missing:
        has = sorted(set(dataset.specs[name].catalogs) - {"*"})
        supply = (
            f"{', '.join(has)} have it" if has else "a STAC catalog of your own with such items, or the embedded Earth"
        )
        log.warning(
            "labels: catalog %s has no %s, so labels from it will be unknown; what supplies them: %s",
            catalog.told,
            dataset.specs[name].title,
            supply,
        )
    if missing and not allowed:
        raise ConfigError(
            f"catalog {catalog.told}: cannot give labels from {', '.join(missing)}; "
            "take another catalog, or say --allow-unknown-labels to go on with these labels unknown"
        )
    return bool(missing)


def _print_built(results: Sequence[pipeline.Built]) -> None:
    total: Counter[str] = Counter()
    for built in results:
        total += built.counts
        print(f"{built.region}/{built.season}: " + ", ".join(f"{k} {v}" for k, v in built.counts.most_common()))
    seconds = sum(b.seconds for b in results)
    fresh = sum(b.built for b in results)
    if fresh:
        memory = max(b.worker_bytes for b in results) / 2**20
        print(
            f"built {counted(fresh, 'patch')} in {seconds:.0f} worker seconds; a worker's highest memory {memory:.0f} MiB"
        )
    else:
        print("nothing to build: all is there in the size recorded; `curate verify` reads the bytes, too")
    print("all: " + ", ".join(f"{k} {v}" for k, v in total.most_common()))
    if passed := sum(b.passed_over for b in results):
        print(f"{counted(passed, 'patch')} passed over scenes that cannot be read; the ledger has their ids and causes")
    if kept := sum(b.excluded for b in results):
        print(f"{counted(kept, 'patch')} built before with scenes that the recipe now excludes; they stay in")


def do_locate(args: argparse.Namespace) -> int:
    """Draws the places of a recipe."""
    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    asked = _asked(args, dataset, _catalog(args, dataset))
    given = _rows(dataset, asked)
    _check_writable(args, store)
    for region, found in selection.locations(dataset, store, asked).items():
        splits = Counter(p.split for p in found)
        print(
            f"{region}: {counted(len(found), 'location')} ({', '.join(f'{k} {v}' for k, v in sorted(splits.items()))})"
        )
    _print_notes(asked, given)
    print(f"written below {store.where('manifest')}")
    return OK


def do_pack(args: argparse.Namespace) -> int:
    """Packs cubes into shards."""
    from curation.pack import pack

    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    catalog = _catalog(args, dataset)
    asked = _asked(args, dataset, catalog)
    pack.check_built(Run(dataset, catalog, store), asked)
    _check_writable(args, store)
    with cluster.connect(args.scheduler, args.workers, store) as client:
        packed = pipeline.pack(Run(dataset, catalog, store, client), asked)
    print(packed.summary())
    _print_notes(asked, rows.of(dataset, asked))
    return OK


def do_verify(args: argparse.Namespace) -> int:
    """Proves cubes and shards from their bytes."""
    from curation.verify import verify

    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    found = verify.verify(dataset, store)
    for fault in found.faults:
        print(f"FAULT {fault}")
    for left in found.unfinished:
        print(f"unfinished: {left}")
    print(found.summary())
    if found.faults:
        print(
            "Damaged shards are made again by `curate pack`. A damaged cube is made again after deleting both "
            "cubes/<region>/<season>.zarr and ledger/<region>/<season>."
        )
    return FAILED if found.faults or found.unfinished else OK


def do_report(args: argparse.Namespace) -> int:
    """Draws the page of a dataset."""
    from curation.report import page

    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    print(page.write(dataset, store, args.out))
    return OK


def do_show(args: argparse.Namespace) -> int:
    """Draws one patch."""
    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    if args.tif is not None:
        from curation.cubes.open_patch import write_tifs

        if args.out is not None:
            raise ConfigError("--out is for the picture, --tif for GeoTIFFs instead of it: give one of them")
        print("\n".join(write_tifs(store, args.patch, args.tif)))
        return OK
    from curation.report import show

    shown = show.write(dataset, store, args.patch, args.out)
    for damage in shown.damage:
        print(f"curate: {damage}", file=sys.stderr)
    if args.out is None:
        log.info("show: written to the current folder; --out chooses another place")
    print(shown.where)
    return FAILED if shown.damage else OK


def do_init(args: argparse.Namespace) -> int:
    """Writes a recipe to start from."""
    from curation.recipe import starter

    print(f"wrote {starter.write(args.folder)}; build it with: curate --dataset {args.folder} --dry-run")
    return OK
