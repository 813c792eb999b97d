"""What lets a worker read the files of scenes, by scheme: endpoints, and names of the variables that hold credentials.

Names alone: a credential is looked up when it is used, by who uses it, and is in no value of these.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from curation.errors.printable import printable
from curation.recipe.strict import StrictTable

Scheme = Literal["s3", "gs", "az", "https"]

_SCHEMES: dict[str, Scheme] = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    "gs": "gs",
    **dict.fromkeys(("az", "adl", "azure", "abfs", "abfss"), "az"),
    **dict.fromkeys(("http", "https"), "https"),
}

_KEYS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "s3": (frozenset(("access_key_id", "secret_access_key")), frozenset(("session_token",))),
    "gs": (frozenset(), frozenset(("service_account",))),
    "az": (frozenset(), frozenset(("account_key", "sas_token"))),
}
"""Scheme → credentials that go together, and those that may be said beside or instead."""


def scheme_of(url: str) -> Scheme | None:
    """Which access a URL wants; None where it is none of these: a path."""
    return _SCHEMES.get(url.partition("://")[0].lower()) if "://" in url else None


class Names(StrictTable):
    """Environment variables that may hold one of the credentials: the first of each go together, and so on."""

    names: tuple[str, ...] = Field(min_length=1)


class HeldKeys:
    """Credentials that go together, by the variables that hold them: always of one set, never one of each.

    Whoever has keys for scenes and others for results would otherwise send what belongs to neither.
    """

    def __init__(self, credentials: Mapping[str, Names], needed: Collection[str]) -> None:
        self._needed = needed
        """What is wanted all together; of others one is enough."""
        every = zip(*(its.names for its in credentials.values()), strict=True)
        self._sets = [dict(zip(credentials, names, strict=True)) for names in every]

    @property
    def values(self) -> dict[str, str]:
        """What is set now of the set that counts: of the first of which anything that is needed is set."""
        return {what: value for what, name in self._counts.items() if (value := os.environ.get(name, ""))}

    @property
    def missing(self) -> list[str]:
        """What is not set here of what is needed, a line each: names, never values."""
        if not self._sets:
            return []
        if not self._counts:
            return [self.text] if len(self._sets) > 1 or not self._needed else list(self._wanted(self._sets[0]))
        values = self.values
        return [self._counts[what] for what in self._needed if what not in values]

    @property
    def text(self) -> str:
        """How a person is told the variables."""
        return " or ".join((" and " if self._needed else " or ").join(self._wanted(its)) for its in self._sets)

    def _wanted(self, names: Mapping[str, str]) -> list[str]:
        return [name for what, name in names.items() if what in self._needed or not self._needed]

    @property
    def _counts(self) -> dict[str, str]:
        """What → its variable, of the set that counts; nothing where none does."""
        return next((its for its in self._sets if any(map(os.environ.get, self._wanted(its)))), {})


def _check_sets(credentials: Mapping[str, Names]) -> None:
    """Passes where each has as many variables. Raises ValueError otherwise."""
    if len({len(its.names) for its in credentials.values()}) > 1:
        said = ", ".join(f"{what} {list(its.names)}" for what, its in credentials.items())
        raise ValueError(
            f"credentials: {said}: expected as many variables of each, since the first go together, and so on"
        )


class BucketAccess(StrictTable):
    """How objects of `s3://`, `gs://` or `az://` are read, apart from how results are written."""

    endpoint: str | None = None
    """URL of the store; the provider's own where left out (s3: that of `region` at AWS)."""
    region: str | None = None
    account: str | None = None
    """Storage account of `az://`."""
    unsigned: bool = False
    """Nobody signs: a public bucket."""
    requester_pays: bool = False
    """Whoever reads says that he pays (s3)."""
    credentials: dict[str, Names] = Field(default_factory=dict)
    """What of the store's own → where it is held."""

    @field_validator("credentials", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {k: Names(names=tuple(v)) if isinstance(v, list) else v for k, v in value.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.unsigned and (self.credentials or self.requester_pays):
            raise ValueError("unsigned: goes with neither credentials nor requester_pays")
        _check_sets(self.credentials)
        return self

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def check(self, scheme: Scheme) -> None:
        """Passes where it says what the scheme wants. Raises ValueError otherwise."""
        together, beside = _KEYS[scheme]
        if unknown := sorted(self.credentials.keys() - together - beside):
            raise ValueError(
                f"{scheme}: credentials {unknown}: no such; {scheme} has {', '.join(sorted(together | beside))}"
            )
        if self.credentials and not together <= self.credentials.keys():
            raise ValueError(f"{scheme}: credentials want {' and '.join(sorted(together))}")
        if not self.credentials and not self.unsigned:
            raise ValueError(f"{scheme}: expected unsigned = true, or the names of credentials")
        if scheme == "s3" and not self.region:
            raise ValueError("s3: expected a region; one's own stores take any")
        if scheme != "s3" and (self.requester_pays or self.region):
            raise ValueError(f"{scheme}: region and requester_pays are of s3")
        if (scheme == "az") != (self.account is not None):
            raise ValueError("account: expected of az, and of az alone")

    @property
    def held(self) -> HeldKeys:
        """What of its own the store wants."""
        needed = [what for what in self.credentials if any(what in its for its, _ in _KEYS.values())]
        return HeldKeys(self.credentials, needed)

    def missing(self) -> list[str]:
        """What is not set here of what is needed, a line each: names, never values."""
        return self.held.missing

    @property
    def needs(self) -> str:
        """What it takes, for people."""
        pays = ", and requests are paid for" if self.requester_pays else ""
        return "no account" if self.unsigned else f"keys in {self.held.text}{pays}"


class TokenAccess(StrictTable):
    """A bearer token over https, which a server gives for a user and a password (OpenID Connect), and renews."""

    token_url: str
    client_id: str
    user: Names
    password: Names
    hosts: tuple[str, ...] = Field(min_length=1)
    """Who is sent the token, and nobody else."""

    @field_validator("user", "password", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return Names(names=tuple(value)) if isinstance(value, list) else value

    @field_validator("hosts", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_sets({"user": self.user, "password": self.password})
        return self

    def check(self, scheme: Scheme) -> None:
        """Passes where it goes over what others cannot read. Raises ValueError otherwise."""
        if not is_private(self.token_url):
            raise ValueError(f"token_url {self.token_url!r}: expected https: a password goes there")

    @property
    def held(self) -> HeldKeys:
        """`user` and `password`."""
        return HeldKeys({"user": self.user, "password": self.password}, ("user", "password"))

    def missing(self) -> list[str]:
        """As of `BucketAccess`."""
        return self.held.missing

    @property
    def needs(self) -> str:
        """As of `BucketAccess`."""
        return f"user and password in {self.held.text}"


class NetrcAccess(StrictTable):
    """A login that servers of files redirect to, with user and password of a netrc file: as Earthdata has it."""

    netrc: tuple[str, ...] = Field(min_length=1)
    """Hosts that are sent what the file says of them, and nobody else."""

    @field_validator("netrc", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    def check(self, scheme: Scheme) -> None:
        """Passes: there is nothing to get wrong."""

    def login(self, host: str) -> tuple[str, str] | None:
        """User and password of a host, where it is one of `netrc` and the file knows it by its name.

        What the file has for any other host (`default`) is never sent.

        Raises:
            ValueError: the file cannot be read as one, told without what it holds.
        """
        if host not in self.netrc:
            return None
        path = netrc_file()
        try:
            found = netrc.netrc(str(path)).hosts.get(host)
        except FileNotFoundError:
            return None
        except netrc.NetrcParseError as err:  # its message may hold a line of the file
            raise ValueError(f"{path}: is no netrc file (line {err.lineno})") from None
        except UnicodeError:  # so may this one
            raise ValueError(f"{path}: is no netrc file (no UTF-8)") from None
        except OSError as err:
            raise ValueError(f"{path}: cannot be read: {err.strerror}") from None
        return (found[0], found[2] or "") if found and found[0] else None

    def missing(self) -> list[str]:
        """As of `BucketAccess`."""
        try:
            return [f"machine {host} in {netrc_file()}" for host in self.netrc if self.login(host) is None]
        except ValueError as err:
            return [printable(err)]

    @property
    def needs(self) -> str:
        """As of `BucketAccess`."""
        return f"user and password of {', '.join(self.netrc)} in a netrc file (NETRC, else ~/.netrc)"


Access = BucketAccess | TokenAccess | NetrcAccess

Accesses = Mapping[Scheme, Access]


def netrc_file() -> Path:
    """The file that NETRC names, else `~/.netrc`."""
    return Path(os.environ.get("NETRC") or "~/.netrc").expanduser()


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent there: https, or this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def check_accesses(accesses: dict[Scheme, Access]) -> dict[Scheme, Access]:
    """The same, where each is of its scheme's kind and says what that wants. Raises ValueError otherwise."""
    for scheme, access in accesses.items():
        if (scheme == "https") == isinstance(access, BucketAccess):
            raise ValueError(f"{scheme}: expected {'token_url or netrc' if scheme == 'https' else 'keys of a bucket'}")
        access.check(scheme)
    return accesses


AccessTable = Annotated[dict[Scheme, Access], AfterValidator(check_accesses)]
"""As a row of `catalogs.toml`, or a form of a source, states it."""
