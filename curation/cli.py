"""The command `curate`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from obstore.exceptions import BaseError
from rich.logging import RichHandler

import curation
from curation import catalogs, cluster, extras, pipeline, regions, stopping
from curation.catalogs import Catalog
from curation.locate import rows
from curation.model import ConfigError, CurationError, counted, did_you_mean
from curation.printable import Printable, printable
from curation.progress import CONSOLE, Doing
from curation.recipe import Dataset, load_dataset
from curation.search.saved import opened
from curation.store import Store, brief

log = logging.getLogger(__name__)

OK, FAILED, USAGE = 0, 1, 2
"""Exit codes: all settled; some failed, unfinished or damaged, or nothing more can be kept (rerun, or do what is said); bad
usage or configuration. A command that was stopped ends with 128 and the signal's number."""

DEFAULT_DATASET = "ssl4eo-s12-ml"

EPILOG = """\
examples:
  curate --region lower-rhine --season all --catalog embedded --limit 8
      builds eight places, in all seasons, from the Earth that comes with the command: no network, no account
  curate --region europe --season all --scheduler tcp://10.0.0.1:8786 --root s3://bucket/datasets
      builds a region on a Dask cluster into a bucket
  curate pack --catalog embedded && curate verify && curate report
      makes the shards of places that have all seasons, proves them, and draws what is in them

exit codes: 0 all settled; 1 some failed or are unfinished (run the same command again), nothing more can be kept, or
something is damaged (its message says what to do); 2 bad usage or configuration; 130 and 143 stopped by Ctrl-C and SIGTERM
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given and not given[0].startswith("-") and given[0] not in VERBS:
        hint = did_you_mean(given[0], VERBS)
        print(f"curate: {printable(given[0])!r}: no such verb; {hint}known: {', '.join(VERBS)}", file=sys.stderr)
        return USAGE
    sys.excepthook = _tell_crash
    args = _parser().parse_args(_joined(_with_verb(given)))
    _logging(args.verbose)
    with stopping.by_signals():
        try:
            code: int = args.run(args)
            sys.stdout.flush()
        except ConfigError as err:
            print(f"curate: {_one_line(err)}", file=sys.stderr)
            return USAGE
        except CurationError as err:
            print(f"curate: {_one_line(err)}", file=sys.stderr)
            return FAILED
        except BaseError as err:
            print(f"curate: an object store failed: {brief(err)}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt as why:
            print("curate: stopped; the same command goes on from here", file=sys.stderr)
            return why.code if isinstance(why, stopping.Stopped) else 128 + signal.SIGINT
        except OSError as err:
            if err.filename is not None or err.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            _forget_output()
            print(f"curate: standard output: {os.strerror(err.errno)}", file=sys.stderr)
            return FAILED
    return code


def _forget_output() -> None:
    """What is not written of standard output by now is let go of: the interpreter would try once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(err: BaseException) -> str:
    return " ".join(printable(err).split())


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong with the arguments, which may hold URLs."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _tell_crash(kind: type[BaseException], err: BaseException, trace: TracebackType | None) -> None:
    """What Python tells of an error that nobody expected, printable."""
    print(printable("".join(traceback.format_exception(kind, err, trace))), end="", file=sys.stderr)


VERBS = ("build", "locate", "pack", "verify", "report", "show", "init")


def _with_verb(argv: list[str]) -> list[str]:
    """`build` is what a call without a verb means."""
    if argv and (argv[0] in VERBS or argv[0] in ("-h", "--help", "--version")):
        return argv
    return ["build", *argv]


def _joined(argv: list[str]) -> list[str]:
    """`--region -10,40,5,50` as `--region=-10,40,5,50`: argparse takes what begins with a minus for a flag."""
    out: list[str] = []
    for arg in argv:
        if out and out[-1] == "--region" and re.match(r"-[\d.]", arg):
            out[-1] += f"={arg}"
        else:
            out.append(arg)
    return out


def _parser() -> _Parser:
    parser = _Parser(
        prog="curate",
        description="Makes Earth-observation training sets from a recipe. Without a verb it builds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"curate {curation.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    common = _Parser(add_help=False)
    common.add_argument(
        "--dataset",
        default=DEFAULT_DATASET,
        metavar="NAME|PATH",
        help="a dataset under manifests/, or the path of a recipe.toml (default: %(default)s)",
    )
    common.add_argument(
        "--root", default="shards", metavar="PATH|URL", help="where everything is written (default: ./%(default)s)"
    )
    common.add_argument("-v", "--verbose", action="store_true", help="also a line per patch")

    where = _Parser(add_help=False)
    where.add_argument(
        "--region",
        default="all",
        metavar="R",
        help="a name of stac_queries/regions.toml (several: a+b), a bbox W,S,E,N, or a GeoJSON, GeoPackage or GeoParquet "
        "file; all: the recipe's (default)",
    )
    where.add_argument(
        "--catalog",
        metavar="C",
        help="planetary-computer, earth-search, cdse, embedded, the URL of a STAC API, or the path of a STAC "
        "ItemCollection, a STAC-GeoParquet file, or a folder of such (default: the recipe's); embedded wants "
        "pip install 'curation[earth]'",
    )
    work = _Parser(add_help=False)
    work.add_argument(
        "--scheduler",
        default="local",
        metavar="S",
        help="local: a Dask cluster on this machine (default); none: this process; or a scheduler's address",
    )
    work.add_argument(
        "--workers", type=_positive, metavar="N", help="processes of a local cluster (default: one per core)"
    )

    build = verbs.add_parser(
        "build",
        parents=[common, where, work],
        help="search scenes and build cubes (the default)",
        description="Searches scenes and builds the cubes of a region and season. Safe to stop and to run again.",
    )
    build.add_argument(
        "--season",
        default="all",
        metavar="S",
        help="a season of the recipe, several with commas, static, or all (default); missing static slabs come first",
    )
    build.add_argument(
        "--limit", type=_positive, metavar="N", help="only the first N locations of each cube; the rest stays pending"
    )
    build.add_argument("--dry-run", action="store_true", help="say what would be searched, read and written")
    build.add_argument("--refresh-search", action="store_true", help="ask the catalog again and show what changed")
    build.add_argument(
        "--allow-unknown-labels", action="store_true", help="go on where the catalog lacks a source of labels"
    )
    build.set_defaults(run=_build)

    locate = verbs.add_parser(
        "locate",
        parents=[common, where],
        help="draw the locations",
        description="Draws the recipe's locations (GeoParquet under <root>/<dataset>/manifest) and counts them by region.",
    )
    locate.set_defaults(run=_locate)

    pack = verbs.add_parser(
        "pack",
        parents=[common, where, work],
        help="make WebDataset shards of what is built",
        description="Makes shards of the complete locations; index and release last. Safe to stop and to run again. Exit "
        "code 1 where none is complete since the build is unfinished.",
    )
    pack.set_defaults(run=_pack)

    verify = verbs.add_parser(
        "verify",
        parents=[common],
        help="prove cubes and shards from their bytes",
        description="Reads every byte again: ledgers, cubes and shards. Names every hole, and what a stopped command left "
        "unfinished; exit code 1 where there is either.",
    )
    verify.set_defaults(run=_verify)

    report = verbs.add_parser(
        "report",
        parents=[common],
        help="draw one HTML page",
        description="Draws what is in the dataset as one HTML page.",
    )
    report.add_argument("--out", type=Path, metavar="FILE", help="default: <root>/<dataset>/report.html")
    report.set_defaults(run=_report)

    show = verbs.add_parser(
        "show",
        parents=[common],
        help="draw one patch, or write it as GeoTIFFs",
        description="Draws one patch of a cube as a PNG, or writes it as GeoTIFFs.",
    )
    show.add_argument(
        "--tif",
        type=Path,
        metavar="FOLDER",
        help="instead of a picture write its arrays as georeferenced GeoTIFFs, <ID>-<SEASON>-<array>.tif, into this folder; "
        "in Python: curation.open_patch.open_patch",
    )
    show.add_argument("patch", metavar="REGION/SEASON/ID", help="as ledgers and logs name it")
    show.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: <ID>-<SEASON>.png in the current folder, whose path is printed",
    )
    show.set_defaults(run=_show)

    init = verbs.add_parser(
        "init", help="write a commented recipe to start from", description="Writes a commented recipe to start from."
    )
    init.add_argument("folder", type=Path, metavar="FOLDER", help="is made; its name becomes the dataset's")
    init.add_argument("-v", "--verbose", action="store_true", help=argparse.SUPPRESS)
    init.set_defaults(run=_init)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 on")
    return value


def _logging(verbose: bool) -> None:
    """Progress on standard error, results on standard output."""
    handler: logging.Handler
    if sys.stderr.isatty():
        handler = RichHandler(console=CONSOLE, show_path=False, show_level=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(Printable())
    root = logging.getLogger("curation")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(logging.DEBUG if verbose else logging.INFO)


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


def _build(args: argparse.Namespace) -> int:
    dataset = load_dataset(args.dataset)
    seasons = pipeline.asked_seasons(dataset, args.season)
    store = _store(args, dataset)
    catalog = _catalog(args, dataset)
    asked = _asked(args, dataset, catalog)
    given = _rows(dataset, asked)
    if args.dry_run:
        code = _dry_run(args, pipeline.Run(dataset, catalog, store, None, args.limit), asked, seasons)
        _print_notes(asked, given)
        return code
    with _served(args, dataset) as catalog:
        _say_unknown_labels(dataset, catalog, allowed=args.allow_unknown_labels)
        _check_writable(args, store)
        with cluster.connect(args.scheduler, args.workers, store, catalog.here) as client:
            run = pipeline.Run(dataset, catalog, store, client, args.limit, args.refresh_search)
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


def _dry_run(
    args: argparse.Namespace, run: pipeline.Run, asked: Sequence[regions.Region], seasons: Sequence[str]
) -> int:
    """Asks the catalog what it has, which a build would find out only after the draw, and prints what a build takes."""
    from curation import estimate

    unknown = run.catalog.identity != EMBEDDED and _say_unknown_labels(run.dataset, run.catalog, allowed=True)
    print(estimate.table(run, asked, seasons))
    if unknown and not args.allow_unknown_labels:
        print("labels: a build wants --allow-unknown-labels, since this catalog cannot give them")
    return OK


def _asked(args: argparse.Namespace, dataset: Dataset, catalog: Catalog) -> list[regions.Region]:
    """The regions asked for; what is special about them is said before any work."""
    asked = pipeline.asked_regions(dataset, catalog, args.region)
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


def _locate(args: argparse.Namespace) -> int:
    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    asked = _asked(args, dataset, _catalog(args, dataset))
    given = _rows(dataset, asked)
    _check_writable(args, store)
    for region, found in pipeline.locations(dataset, store, asked).items():
        splits = Counter(p.split for p in found)
        print(
            f"{region}: {counted(len(found), 'location')} ({', '.join(f'{k} {v}' for k, v in sorted(splits.items()))})"
        )
    _print_notes(asked, given)
    print(f"written below {store.where('manifest')}")
    return OK


def _pack(args: argparse.Namespace) -> int:
    from curation import shards

    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    catalog = _catalog(args, dataset)
    asked = _asked(args, dataset, catalog)
    shards.check_built(pipeline.Run(dataset, catalog, store), asked)
    _check_writable(args, store)
    with cluster.connect(args.scheduler, args.workers, store) as client:
        packed = shards.pack(pipeline.Run(dataset, catalog, store, client), asked)
    print(packed.summary())
    _print_notes(asked, rows.of(dataset, asked))
    return OK


def _verify(args: argparse.Namespace) -> int:
    from curation import verify

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


def _report(args: argparse.Namespace) -> int:
    from curation import report

    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    print(report.write(dataset, store, args.out))
    return OK


def _show(args: argparse.Namespace) -> int:
    dataset = load_dataset(args.dataset)
    store = _store(args, dataset)
    if args.tif is not None:
        from curation.open_patch import write_tifs

        if args.out is not None:
            raise ConfigError("--out is for the picture, --tif for GeoTIFFs instead of it: give one of them")
        print("\n".join(write_tifs(store, args.patch, args.tif)))
        return OK
    from curation import show

    shown = show.write(dataset, store, args.patch, args.out)
    for damage in shown.damage:
        print(f"curate: {damage}", file=sys.stderr)
    if args.out is None:
        log.info("show: written to the current folder; --out chooses another place")
    print(shown.where)
    return FAILED if shown.damage else OK


def _init(args: argparse.Namespace) -> int:
    from curation import starter

    print(f"wrote {starter.write(args.folder)}; build it with: curate --dataset {args.folder} --dry-run")
    return OK
