"""The verbs of the command and their flags."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, NoReturn

import curation
from curation.api import folder, labelsteps
from curation.cli import auditing, captioned, measuring, probing, pruning, standing, viewing
from curation.cli.verbs import (
    do_build,
    do_catalogs,
    do_init,
    do_labels,
    do_labels_by_model,
    do_labels_of_earthengine,
    do_locate,
    do_pack,
    do_report,
    do_show,
    do_source,
    do_verify,
)
from curation.errors.printable import printable

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


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong with the arguments, which may hold URLs."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:  # told here, by the parser of the verb: with the usage of all verbs nobody is helped
            self.error(f"{' '.join(unknown)}: no argument of this verb; {self.prog} --help says what it takes")
        return found, unknown


VERBS = (
    *("build", "locate", "labels", "pack", "verify", "report", "show", "worst", "export", "view"),
    *("graph", "embed", "distance", "probe", "prune", "audit", "captions", "card", "publish"),
    *("diff", "gc", "catalogs", "source", "import", "init"),
)


def with_verb(argv: list[str]) -> list[str]:
    """`build` is what a call without a verb means."""
    if argv and (argv[0] in VERBS or argv[0] in ("-h", "--help", "--version")):
        return argv
    return ["build", *argv]


def joined(argv: list[str]) -> list[str]:
    """`--region -10,40,5,50` as `--region=-10,40,5,50`: argparse takes what begins with a minus for a flag."""
    out: list[str] = []
    for arg in argv:
        if out and out[-1] == "--region" and re.match(r"-[\d.]", arg):
            out[-1] += f"={arg}"
        else:
            out.append(arg)
    return out


def make_parser() -> _Parser:
    """The parser of all verbs."""
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
        "--root", default=folder.ROOT, metavar="PATH|URL", help="where everything is written (default: ./%(default)s)"
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
        action="append",
        default=[],
        metavar="[SOURCE=]C",
        help="a name of stac_queries/catalogs.toml (planetary-computer, earth-search, cdse, embedded …; `curate catalogs` "
        "has them all), the URL of a STAC API, the path of a STAC ItemCollection, or STAC-GeoParquet: a file, a folder, "
        "a URL, or a place in a bucket; or a folder of GeoTIFFs without any STAC, where the "
        "source says how they are called; with SOURCE= (s3olci=cdse, s5p-*=…; given again and again) for that source alone, "
        "whatever the recipe says; without, for all of which the recipe names no catalog of their own (default: the "
        "recipe's; '*=C' for every source). embedded is asked for every source; it wants pip install 'curation[earth]'",
    )
    work = _Parser(add_help=False)
    work.add_argument(
        "--scheduler",
        default=folder.SCHEDULER,
        metavar="S",
        help="local: a Dask cluster on this machine (default); none: this process; or a scheduler's address",
    )
    work.add_argument(
        "--workers", type=standing.positive, metavar="N", help="processes of a local cluster (default: one per core)"
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
        "--limit",
        type=standing.positive,
        metavar="N",
        help="only the first N locations of each cube; the rest stays pending",
    )
    build.add_argument("--dry-run", action="store_true", help="say what would be searched, read and written")
    build.add_argument(
        "--calibrate",
        action="store_true",
        help="with --dry-run: build ten patches of each season into a temporary folder, and reckon by what these took: "
        "hours, disk, and bytes and requests per source",
    )
    build.add_argument("--refresh-search", action="store_true", help="ask the catalog again and show what changed")
    build.add_argument(
        "--allow-unknown-labels", action="store_true", help="go on where the catalog lacks a source of labels"
    )
    build.add_argument(
        "--run-code",
        action="store_true",
        help="execute the models that the recipe's sources name for masks; without it such a recipe is refused",
    )
    _add_labels(build)
    build.set_defaults(run=do_build)

    locate = verbs.add_parser(
        "locate",
        parents=[common, where],
        help="draw the locations",
        description="Draws the recipe's locations (GeoParquet under <root>/<dataset>/manifest) and counts them by region.",
    )
    locate.set_defaults(run=do_locate)

    pack = verbs.add_parser(
        "pack",
        parents=[common, where, work],
        help="make WebDataset shards of what is built",
        description="Makes shards of the complete locations; index and release last. Safe to stop and to run again. Exit "
        "code 1 where none is complete since the build is unfinished.",
    )
    pack.add_argument(
        "--run-code",
        action="store_true",
        help="execute the Python files that the recipe's [annotations] name; without it such a recipe is refused",
    )
    _add_labels(pack)
    pack.set_defaults(run=do_pack)

    labels = verbs.add_parser(
        "labels",
        help="take labels from a file, a folder of class maps, Earth Engine or a model, instead of a catalog",
        description="Labels that no catalog has: `curate labels import FILE` keeps them below the dataset's folder, and "
        "says what share of patches they can label; `curate pack` gives them to the samples. `earthengine` and `model` "
        "make the maps first, of patches that are built. manifests/README.md has the forms.",
    )
    actions = labels.add_subparsers(dest="action", metavar="ACTION", required=True)
    take = actions.add_parser(
        "import", parents=[common, where], help="import a file or folder, in place of earlier ones"
    )
    take.add_argument(
        "file",
        metavar="FILE",
        help="JSON {location id: {Sentinel-2 id: [class, ...]}}, as SSL4EO-S12-ML has it; a CSV or Parquet table by "
        "location, or by location and Sentinel-2 id or time; or a folder of class maps (GeoTIFFs named by their Sentinel-2 "
        "images)",
    )
    take.set_defaults(run=do_labels)
    actions.add_parser("remove", parents=[common], help="do without them").set_defaults(run=do_labels)
    _add_made(actions, [common, where, work])

    verify = verbs.add_parser(
        "verify",
        parents=[common],
        help="prove cubes and shards from their bytes",
        description="Reads every byte again: ledgers, cubes and shards. Names every hole, and what a stopped command left "
        "unfinished; exit code 1 where there is either.",
    )
    verify.set_defaults(run=do_verify)

    report = verbs.add_parser(
        "report",
        parents=[common],
        help="draw one HTML page",
        description="Draws what is in the dataset as one HTML page.",
    )
    report.add_argument("--out", type=Path, metavar="FILE", help="default: <root>/<dataset>/report.html")
    report.add_argument(
        "--scores",
        type=Path,
        metavar="FILE",
        help="CSV or Parquet of key and score of samples: drawn by distance to train",
    )
    report.add_argument(
        "--features", type=Path, metavar="FILE", help="CSV or Parquet of key and numbers of samples: their variogram"
    )
    report.set_defaults(run=do_report)

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
        "in Python: curation.open_patch",
    )
    show.add_argument("patch", metavar="REGION/SEASON/ID", help="as ledgers and logs name it")
    show.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: <ID>-<SEASON>.png in the current folder, whose path is printed",
    )
    show.add_argument(
        "--caption",
        action="store_true",
        help="with the captions that its sample has in the shards, and the facts that each tells",
    )
    show.set_defaults(run=do_show)

    standing.add_mended(verbs, common)
    standing.add_export(verbs, [common, work])
    standing.add_published(verbs, common, work)
    viewing.add_view(verbs, [common, work])
    standing.add_graph(verbs, common)
    measuring.add(verbs, common, work)
    probing.add_probe(verbs, common)
    pruning.add(verbs, common)
    auditing.add_audit(verbs, common)
    standing.add_import(verbs, work)
    captioned.add(verbs, common)

    catalogs = verbs.add_parser(
        "catalogs",
        parents=[common, where],
        help="say which catalog has what, and what lets you in",
        description="Prints which catalog offers which source of the recipe, with its collection there, who is asked for "
        "it, what lets one in where its files lie, and whether that is set on this machine: names of variables, never what "
        "they hold. Nobody is asked.",
    )
    catalogs.set_defaults(run=do_catalogs)

    source = verbs.add_parser(
        "source",
        help="look at a source: what its file says, held against an item and a patch",
        description="Sources: files of stac_queries/, and of sources/ beside a recipe, which override or add to them.",
    )
    looks = source.add_subparsers(dest="action", metavar="ACTION", required=True)
    look = looks.add_parser(
        "check",
        help="read one item and one patch, and say what is found",
        description="Reads a source's file, takes the first item of a catalog that fits, reads one patch in its middle, and "
        "says what it found: of each band CRS, resolution, dtype, nodata, scale and the least and greatest value; of a mask "
        "the codes and which set each is in; and whether item and files agree. Exit code 1 where something is wrong, which "
        "is told with what to do. Nothing is written.",
    )
    look.add_argument("file", metavar="FILE", help="path of a <source>.toml, or the name of one of stac_queries/")
    look.add_argument(
        "--catalog",
        metavar="C",
        help="who is asked for an item, as of build; a folder of GeoTIFFs, too (default: the first that the file names)",
    )
    look.add_argument("-v", "--verbose", action="store_true", help=argparse.SUPPRESS)
    look.set_defaults(run=do_source)

    init = verbs.add_parser(
        "init", help="write a commented recipe to start from", description="Writes a commented recipe to start from."
    )
    init.add_argument("folder", type=Path, metavar="FOLDER", help="is made; its name becomes the dataset's")
    init.add_argument("-v", "--verbose", action="store_true", help=argparse.SUPPRESS)
    init.set_defaults(run=do_init)
    return parser


def _add_made(actions: argparse._SubParsersAction[_Parser], parents: list[_Parser]) -> None:
    """The ways of making class maps whose labels are taken."""
    engine = actions.add_parser(
        "earthengine",
        parents=parents,
        help="ask Earth Engine for Dynamic World of the images that patches were built of",
        description="Asks Earth Engine for Dynamic World's label band of the image that each patch was built of, on the "
        "patch's own grid, 40 requests at a time; keeps the maps as COGs below maps/ of the dataset's folder, and takes the "
        "labels from them as `import` does. A rerun asks for nothing that is there. Wants pip install "
        "'curation[earthengine]' and an account where the work is done. Never run against the real service.",
    )
    engine.add_argument(
        "--project", default="", metavar="P", help="Cloud project that requests count for (default: the credentials')"
    )
    engine.add_argument(
        "--endpoint",
        default=labelsteps.ENDPOINT,
        metavar="URL",
        help="of Earth Engine's REST API (default: %(default)s)",
    )
    engine.set_defaults(run=do_labels_of_earthengine)
    model = actions.add_parser(
        "model",
        parents=parents,
        help="have a model of Dynamic World's form say what is on each patch",
        description="Makes Dynamic World's input of the stored pixels of each patch, gives it to a model, keeps what it "
        "says as COGs below maps/ of the dataset's folder, and takes the labels from them as `import` does. THE FILE IS "
        "EXECUTED: give none that you would not run as a program.",
    )
    model.add_argument(
        "file", type=Path, metavar="MODEL", help="ONNX (.onnx: wants pip install 'curation[onnx]') or TorchScript (.pt)"
    )
    model.add_argument(
        "--source",
        metavar="S",
        help="source of the recipe whose nine bands the model is given (default: that of level 1C)",
    )
    model.add_argument(
        "--constants",
        type=Path,
        metavar="FILE",
        help="JSON, nine pairs [[first, second], ...] by which bands are scaled; the default ones are rounded",
    )
    model.set_defaults(run=do_labels_by_model)
    engine.add_argument("--dry-run", action="store_true", help="say what would be asked for and written")
    model.add_argument(
        "--dry-run", action="store_true", help="say what would be written; the file is hashed, and not executed"
    )


def _add_labels(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--labels",
        metavar="FILE|C",
        help="first `curate labels import` this, where it is another than was imported before; or a catalog of maps, as "
        "--catalog has it, that is asked for labels by season: for build and pack alike",
    )
