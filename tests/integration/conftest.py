"""The services, each started once where a test wants it, and the datasets that are made with them.

What is not there is skipped, loudly: each line says what was not tested, what is missing, and how to have it.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from curation import embedded
from curation.embedded.service import items as earth_items
from tests.buckets import bucket
from tests.integration import azurite, blobs, environment, gateway, postgres, recipe, slurm
from tests.integration.blobs import SignedBlobs
from tests.integration.leaks import Secrets, files_below
from tests.integration.made import Command, Made
from tests.loopback import serving

PACKAGES = (
    "azure.storage.blob",
    "dask_gateway",
    "dask_gateway_server",
    "dask_jobqueue",
    "pypgstac",
    "stac_fastapi.pgstac",
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was not tested, so that nobody overlooks it."""
    told = {
        report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()) if "integration" in report.nodeid
    }
    if told:
        terminalreporter.section("NOT TESTED", sep="=", red=True, bold=True)
        for line in sorted(told):
            terminalreporter.write_line(line.removeprefix("Skipped: "))


def needed(what: str, missing: str) -> None:
    """Skips what cannot be without a program that is not there."""
    if missing:
        pytest.skip(f"NOT TESTED: {what}: {missing}")


def beside_terratorch(package: str, what: str) -> Path:
    """What is to stand before all else on the path of a program that imports a package of TerraTorch's list."""
    where = os.environ.get(environment.VARIABLE)
    site = None if where is None else environment.terratorch_of(Path(where))
    needed(what, "" if site is not None and (site / package).is_dir() else f"no {package} in this Python")
    assert site is not None
    return site


@pytest.fixture(scope="session")
def folder() -> Path:
    """The environment's."""
    named = os.environ.get(environment.VARIABLE, "")
    lacking = [name for name in PACKAGES if not _is_there(name)]
    needed("anything of it", f"no {', '.join(lacking)} in this Python: run `make test-integration`" if lacking else "")
    return Path(named)


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # nor what it would lie in
        return False


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everybody logs."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def known() -> Secrets:
    """What lets anybody in, of all services that were started."""
    return Secrets()


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory, logs: Path, folder: Path) -> Command:
    """`curate`."""
    return Command(recipe.write(tmp_path_factory.mktemp("recipe") / "recipe.toml"), logs)


@pytest.fixture(scope="session")
def plain(command: Command, empty_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What all others are compared with: the embedded Earth, asked as anybody may, into a folder."""
    return into_folder(command, tmp_path_factory.mktemp("plain"), "plain", "embedded", scheduler="none")


def into_folder(command: Command, root: Path, name: str, catalog: str, **how: Any) -> Made:
    """A run whose root is a folder; `how` as of the command."""

    def written() -> dict[str, bytes]:
        return {key.removeprefix(f"{root}/"): data for key, data in files_below(root).items()}

    return command(name, catalog, str(root), written, **how)


# ---- what has to be there, asked before anything is started ------------------------------------------------------------


@pytest.fixture(scope="session")
def has_pgstac(folder: Path) -> None:
    """Skips where PostgreSQL cannot run."""
    needed("pgstac, and all that is built from it", postgres.missing())


@pytest.fixture(scope="session")
def has_azurite(folder: Path) -> None:
    """Skips where Azurite cannot run."""
    needed("output to Azure", azurite.missing(folder))


@pytest.fixture(scope="session")
def has_slurm(folder: Path) -> None:
    """Skips where Slurm cannot run."""
    needed("Slurm", slurm.missing())


# ---- services ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def archive(empty_cache: Path, known: Secrets, folder: Path) -> Iterator[SignedBlobs]:
    """The embedded Earth's files as signed blobs."""
    with embedded.serve() as url:
        made = SignedBlobs(f"{url.removesuffix('/stac')}/archive")
        known.words |= {"mark of all tokens": made.mark, "key of the blobs' accounts": made.key}
        known.signatures = made.signatures
        yield made


@pytest.fixture(scope="session")
def reading(archive: SignedBlobs) -> Iterator[dict[str, str]]:
    """The environment of who reads signed blobs: hosts of Azure's are reached by way of a proxy, which has them."""
    with serving(archive.answer) as url:
        yield {
            "PC_SDK_SAS_URL": f"{url}{blobs.TOKENS.rstrip('/')}",
            "http_proxy": url,
            "no_proxy": "127.0.0.1,localhost",
        }


@pytest.fixture(scope="session")
def catalog(has_pgstac: None, logs: Path, known: Secrets) -> Iterator[str]:
    """pgstac's STAC API, with all items of the embedded Earth, whose hrefs lead to signed blobs."""
    every = earth_items.all_items()
    assert len(every) > 1_000, "a catalog of some size"
    for item in every:
        item["links"] = []
        for asset in item["assets"].values():
            asset["href"] = blobs.href(item["collection"], asset["href"])
    password = known.words["password of the database"] = postgres.new_password()
    with postgres.stac_api(earth_items.all_collections(every), every, logs, password) as url:
        yield url


# ---- datasets ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def to_s3(command: Command, catalog: str, reading: dict[str, str], known: Secrets) -> Iterator[Made]:
    """From pgstac and signed blobs into a bucket of S3, on a local Dask cluster."""
    keys = {"AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}
    known.words |= {f"{name} of S3": value for name, value in keys.items()}
    with bucket() as url:

        def written() -> dict[str, bytes]:
            client = boto3.client(
                "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
            )
            pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket")
            names = [entry["Key"] for page in pages for entry in page["Contents"]]
            found = {n: client.get_object(Bucket="bucket", Key=n)["Body"].read() for n in names}
            client.close()
            return found

        env = {**reading, "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", **keys}
        yield command("s3", catalog, "s3://bucket", written, scheduler="local", env=env)


@pytest.fixture(scope="session")
def to_azure(
    has_azurite: None,
    command: Command,
    catalog: str,
    reading: dict[str, str],
    known: Secrets,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Made]:
    """The same into a container of Azurite's, which is let in to with a signature, too."""
    with azurite.container(folder, tmp_path_factory.mktemp("azurite")) as azure:
        known.words |= {"key of the output's account": azure.key, "token of the output": azure.token}
        env = reading | azure.env
        root = f"az://{azurite.CONTAINER}"
        yield command("azure", catalog, root, azure.objects, scheduler="none", env=env)


@pytest.fixture(scope="session")
def by_slurm(
    has_slurm: None,
    command: Command,
    catalog: str,
    reading: dict[str, str],
    logs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Made]:
    """The same into a folder, done by a job of Slurm's."""
    root = tmp_path_factory.mktemp("by-slurm")
    with slurm.dask_cluster(logs, reading) as cluster:
        assert cluster.jobs == ["1"], "the worker says that it is Slurm's first job"
        yield into_folder(command, root, "slurm", catalog, scheduler=cluster.address, env=reading)


@pytest.fixture(scope="session")
def by_gateway(
    command: Command,
    catalog: str,
    reading: dict[str, str],
    known: Secrets,
    logs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Made]:
    """The same into a folder, done by a cluster of dask-gateway's, reached through its proxy."""
    root = tmp_path_factory.mktemp("by-gateway")
    with gateway.dask_cluster(tmp_path_factory.mktemp("gateway"), logs, reading) as cluster:
        known.words |= cluster.secrets
        yield into_folder(command, root, "gateway", catalog, scheduler=cluster.address, env=reading | cluster.env)
