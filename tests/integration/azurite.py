"""Azurite: Azure's own stand-in for its blob storage."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.integration import environment
from tests.integration.running import service

ACCOUNT, CONTAINER = "curationtests", "datasets"


@dataclass(frozen=True)
class Azure:
    """A container of Azurite's."""

    url: str
    """Of the account."""
    key: str
    """Of the account."""
    token: str
    """A shared access signature: what lets one in to the container."""

    @property
    def env(self) -> dict[str, str]:
        """The environment in which `az://` leads to it."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ENDPOINT": self.url,
            "AZURE_STORAGE_SAS_TOKEN": self.token,
        }

    def objects(self) -> dict[str, bytes]:
        """All that is in the container, as Azure's own client reads it."""
        from azure.storage.blob import ContainerClient

        with ContainerClient(self.url, CONTAINER, self.key) as container:
            return {name: container.download_blob(name).readall() for name in container.list_blob_names()}


def missing(folder: Path) -> str:
    """What there is not of it, and how to have it."""
    if not environment.azurite_of(folder).exists() or environment.node_of(folder) is None:
        return (
            f"no Azurite in {folder}: npm install {environment.AZURITE} failed (see above); it wants a registry of npm"
        )
    return ""


@contextlib.contextmanager
def container(folder: Path, data: Path) -> Iterator[Azure]:
    """An empty container on a server of its own.

    Args:
        folder: the environment's.
        data: where it keeps what it is given, and the log of its requests: as they came, with what let them in.
    """
    from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

    key = base64.b64encode(secrets.token_bytes(64)).decode()
    program, log = environment.azurite_of(folder), data / "azurite.log"
    command = [environment.node_of(folder), program, "--blobPort", "0", "--location", data, "--disableTelemetry"]

    def ready() -> str | None:
        found = re.search(r"listens on (http://127\.0\.0\.1:\d+)", log.read_text(errors="replace"))
        return found[1] if found else None

    # Its clients speak newer versions than it knows of.
    env = os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
    with service([*map(str, command), "--skipApiVersionCheck"], log, ready, env=env) as url:
        with ContainerClient(f"{url}/{ACCOUNT}", CONTAINER, key) as made:
            made.create_container()
        token = generate_container_sas(
            ACCOUNT,
            CONTAINER,
            account_key=key,
            permission=ContainerSasPermissions(read=True, add=True, create=True, write=True, delete=True, list=True),
            expiry=dt.datetime.now(dt.UTC) + dt.timedelta(hours=2),
        )
        yield Azure(f"{url}/{ACCOUNT}", key, token)
