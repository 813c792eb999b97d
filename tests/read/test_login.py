"""What lets a worker in: each by a server that checks it, and that would see what it must not be sent."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import pickle
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from curation.errors import AccessError, PassingError, ReadError
from curation.read import login, ranges
from curation.read.signing import FileAddress
from curation.recipe.access import BucketAccess, NetrcAccess, TokenAccess
from curation.store.objects import Store
from tests import buckets
from tests.loopback import Request, serving

DATA = bytes(range(256)) * 64
KEY, SECRET = "AKSCENES", "secret-of-scenes"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ranges, "PAUSE_S", 0.01)
    login.pass_of.cache_clear()
    ranges._store.cache_clear()
    yield
    ranges._store.cache_clear()


def fetched(address: FileAddress) -> bytes:
    return ranges.fetch(address, 0, len(DATA), "s.tif").data


def give(request: Request) -> None:
    """The range that was asked for."""
    first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups())  # type: ignore[union-attr]
    part = DATA[first : last + 1]
    told = f"bytes {first}-{first + len(part) - 1}/{len(DATA)}"
    request.send(206, part, Content_Range=told, ETag='"v1"', Last_Modified="Mon, 01 Nov 2021 00:00:00 GMT")


# ---- s3 -------------------------------------------------------------------------------------------------------------


def s3(request: Request) -> None:
    """A private bucket, one that is public, and one whose reader pays."""
    allowed, bucket = request.headers["Authorization"] or "", request.path.split("/")[1]
    if bucket == "public" and not allowed:
        return give(request)
    right = (
        allowed.endswith(f"Signature={buckets.signature(request, SECRET)}")
        if f"Credential={KEY}/" in allowed
        else False
    )
    if bucket == "public" or not right or request.headers["x-amz-security-token"]:
        return request.send(403, b"<Error><Code>AccessDenied</Code></Error>")
    if bucket == "paid" and request.headers["x-amz-request-payer"] != "requester":
        return request.send(403, b"<Error><Code>AccessDenied</Code></Error>")
    return give(request)


def keys(url: str, **more: object) -> BucketAccess:
    names = {"access_key_id": ["SCENES_KEY", "SCENES_KEY_2"], "secret_access_key": ["SCENES_SECRET", "SCENES_SECRET_2"]}
    return BucketAccess.model_validate({"endpoint": url, "region": "default", "credentials": names} | more)


@pytest.mark.slow
def test_scenes_and_results_have_keys_and_endpoints_of_their_own(monkeypatch: pytest.MonkeyPatch):
    with buckets.bucket() as results, serving(s3) as scenes:
        buckets.reached_at(results, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", results)  # which obstore looks at before what it is told
        monkeypatch.setenv("AWS_SESSION_TOKEN", "of results")
        monkeypatch.setenv("SCENES_KEY_2", KEY)
        monkeypatch.setenv("SCENES_SECRET_2", SECRET)
        address = FileAddress("s3://scenes/a/s.tif", access=keys(scenes))
        assert fetched(address) == DATA
        store = Store("s3://bucket/made")
        store.publish("a", b"result")
        assert store.get("a") == b"result"
        assert fetched(address) == DATA
        # A bucket that only the environment tells of stays where it was.
        Store("s3://bucket").publish("s.tif", DATA)
        assert fetched(FileAddress("s3://bucket/s.tif")) == DATA


def test_a_bucket_is_unsigned_or_paid_for_where_its_form_says_so(monkeypatch: pytest.MonkeyPatch):
    with serving(s3) as url:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of results")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of results")
        public = BucketAccess(endpoint=url, region="r", unsigned=True)
        assert fetched(FileAddress("s3://public/s.tif", access=public)) == DATA
        monkeypatch.setenv("SCENES_KEY", KEY)
        monkeypatch.setenv("SCENES_SECRET", SECRET)
        assert fetched(FileAddress("s3://paid/s.tif", access=keys(url, requester_pays=True))) == DATA
        with pytest.raises(PassingError):
            fetched(FileAddress("s3://paid/s.tif", access=keys(url)))


def test_keys_that_are_missing_are_told_by_name_and_asked_for_when_they_are_used(monkeypatch: pytest.MonkeyPatch):
    with serving(s3) as url:
        address = FileAddress("s3://scenes/s.tif", access=keys(url))
        monkeypatch.setenv("SCENES_SECRET", SECRET)
        with pytest.raises(AccessError, match="wants keys: SCENES_KEY is not set") as err:
            fetched(address)
        assert err.value.code == "no_access"
        monkeypatch.setenv("SCENES_KEY", "AKWRONG")
        with pytest.raises(PassingError) as wrong:
            fetched(address)
        assert SECRET not in str(wrong.value)
        monkeypatch.setenv("SCENES_KEY", KEY)  # the same client: nothing was kept of what it had before
        assert fetched(address) == DATA
        assert SECRET.encode() not in pickle.dumps(address)


def test_keys_that_end_are_sent_with_their_session_and_a_shared_signature_as_it_is(monkeypatch: pytest.MonkeyPatch):
    seen: list[str] = []

    def answer(request: Request) -> None:
        said, path = request.headers["Authorization"] or "", urlsplit(request.path)
        seen.append(path.path)
        if path.path.startswith("/scenes/"):  # of Azure: an account's name comes first here
            right = not said and parse_qs(path.query) == {"sv": ["1"], "sig": ["of+scenes="]}
        else:
            right = "x-amz-security-token" in said and request.headers["x-amz-security-token"] == "session of scenes"
            right = right and said.endswith(f"Signature={buckets.signature(request, SECRET)}")
        give(request) if right else request.send(403)

    with serving(answer) as url:
        for name in ("AWS_SESSION_TOKEN", "AZURE_STORAGE_SAS_TOKEN"):
            monkeypatch.setenv(name, "sv=1&sig=of-results")
        monkeypatch.setenv("SCENES_KEY", KEY)
        monkeypatch.setenv("SCENES_SECRET", SECRET)
        names = {
            "access_key_id": ["SCENES_KEY"],
            "secret_access_key": ["SCENES_SECRET"],
            "session_token": ["SCENES_SESSION"],
        }
        s3_access = keys(url, credentials=names)
        with pytest.raises(PassingError):
            fetched(FileAddress("s3://temporary/s.tif", access=s3_access))
        monkeypatch.setenv("SCENES_SESSION", "session of scenes")
        assert fetched(FileAddress("s3://temporary/s.tif", access=s3_access)) == DATA
        monkeypatch.setenv("SCENES_TOKEN", "sv=1&sig=of%2Bscenes%3D")
        shared = {"endpoint": f"{url}/scenes", "account": "scenes", "credentials": {"sas_token": ["SCENES_TOKEN"]}}
        assert fetched(FileAddress("az://private/s.tif", access=BucketAccess.model_validate(shared))) == DATA
    assert "/scenes/private/s.tif" in seen


def azure_signature(request: Request, account: str, key: str) -> str:
    """Shared Key of a GET of a blob, by Azure's own description."""
    head = request.headers
    ms = sorted((n.lower(), v) for n, v in head.items() if n.lower().startswith("x-ms-"))
    length = head["Content-Length"] or ""
    lines = ["GET", "", "", "" if length == "0" else length, "", "", "" if head["x-ms-date"] else head["Date"] or ""]
    lines += ["", head["If-Match"] or "", head["If-None-Match"] or "", "", head["Range"] or ""]
    lines += [*(f"{n}:{v}" for n, v in ms), f"/{account}{urlsplit(request.path).path}"]
    return base64.b64encode(hmac.digest(base64.b64decode(key), "\n".join(lines).encode(), "sha256")).decode()


def test_azure_and_google_are_reached_as_their_form_says(monkeypatch: pytest.MonkeyPatch):
    key = base64.b64encode(b"key of the account of scenes").decode()

    def answer(request: Request) -> None:
        said = request.headers["Authorization"] or ""
        if request.path.startswith("/scenes/private/"):
            right = said == f"SharedKey scenes:{azure_signature(request, 'scenes', key)}"
        else:
            right = not said
        give(request) if right else request.send(403)

    with serving(answer) as url:
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=of-results")
        monkeypatch.setenv("SCENES_KEY", key)
        private = BucketAccess.model_validate(
            {"endpoint": f"{url}/scenes", "account": "scenes", "credentials": {"account_key": ["SCENES_KEY"]}}
        )
        assert fetched(FileAddress("az://private/s.tif", access=private)) == DATA
        held = {"sas_token": ["SCENES_TOKEN"], "account_key": ["SCENES_KEY"]}  # one of them is enough
        either = BucketAccess.model_validate({"endpoint": f"{url}/scenes", "account": "scenes", "credentials": held})
        assert fetched(FileAddress("az://private/s.tif", access=either)) == DATA
        public = BucketAccess(endpoint=f"{url}/scenes", account="scenes", unsigned=True)
        assert fetched(FileAddress("az://public/s.tif", access=public)) == DATA
        assert fetched(FileAddress("gs://public/s.tif", access=BucketAccess(endpoint=url, unsigned=True))) == DATA
        with pytest.raises(PassingError):
            fetched(FileAddress("az://private/s.tif", access=public))


# ---- https: a bearer token ------------------------------------------------------------------------------------------

PASSWORD = "pass word&=ü"


@dataclass
class Realm:
    """A server that gives tokens, and one that wants them; and another host, which must never see one."""

    term_s: float = 600.0
    renews_s: float = 600.0
    forms: list[dict[str, str]] = field(default_factory=list)
    valid: dict[str, float] = field(default_factory=dict)
    elsewhere: list[str | None] = field(default_factory=list)
    redirects: str = ""

    def token(self, request: Request) -> None:
        form = {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        self.forms.append(form)
        by_password = form.get("username") == "me" and form.get("password") == PASSWORD
        by_refresh = form["grant_type"] == "refresh_token" and form.get("refresh_token") == "renews"
        if request.command != "POST" or form["client_id"] != "cdse-public" or not (by_password or by_refresh):
            return request.send(401, json.dumps({"error": "invalid_grant", "said": form}).encode())
        name = f"token-{len(self.forms)}"
        self.valid[name] = time.monotonic() + self.term_s
        said = {"access_token": name, "expires_in": self.term_s, "refresh_token": "renews"}
        return request.send(200, json.dumps(said | {"refresh_expires_in": self.renews_s}).encode())

    def data(self, request: Request) -> None:
        if request.path == "/token":
            return self.token(request)
        if request.headers["Host"].startswith("localhost"):
            self.elsewhere.append(request.headers["Authorization"])
            return give(request)
        said = (request.headers["Authorization"] or "").removeprefix("Bearer ")
        if self.valid.get(said, 0.0) < time.monotonic():
            return request.send(401)
        return request.send(302, Location=self.redirects) if self.redirects else give(request)


@contextlib.contextmanager
def realm(monkeypatch: pytest.MonkeyPatch, **how: float) -> Iterator[tuple[Realm, FileAddress]]:
    made = Realm(**how)
    monkeypatch.setenv("SCENES_USER", "me")
    monkeypatch.setenv("SCENES_PASSWORD", PASSWORD)
    with serving(made.data) as url:
        access = TokenAccess.model_validate(
            {"token_url": f"{url}/token", "client_id": "cdse-public", "hosts": ["127.0.0.1"]}
            | {"user": ["SCENES_USER"], "password": ["SCENES_PASSWORD"]}
        )
        yield made, FileAddress(f"{url}/s.tif", access=access)


def test_a_token_is_asked_for_once_and_renewed_before_it_ends(monkeypatch, caplog):
    caplog.set_level("DEBUG")
    with realm(monkeypatch, term_s=0.5) as (made, address):
        assert fetched(address) == fetched(address) == DATA
        assert [f["grant_type"] for f in made.forms] == ["password"]
        time.sleep(0.5)
        assert fetched(address) == DATA
        assert [f["grant_type"] for f in made.forms] == ["password", "refresh_token"]
        made.valid.clear()  # ended by the server's own wish: told by a 401, and asked for anew
        assert fetched(address) == DATA
        assert len(made.forms) == 3
    said = caplog.text + repr(address)
    assert not any(secret in said for secret in (PASSWORD, "renews", "token-1", "token-2", "token-3"))
    assert b"token-" not in pickle.dumps(address)


def test_what_renews_a_token_may_end_too(monkeypatch):
    with realm(monkeypatch, term_s=0.2, renews_s=0.2) as (made, address):
        assert fetched(address) == DATA
        time.sleep(0.3)
        assert fetched(address) == DATA
        assert [f["grant_type"] for f in made.forms] == ["password", "password"]


def test_a_token_is_not_taken_along_to_another_host(monkeypatch):
    with realm(monkeypatch) as (made, address):
        made.redirects = address.url.replace("127.0.0.1", "localhost")
        assert fetched(address) == DATA
        assert made.elsewhere == [None]
        # Nor is it sent to a host that nobody named, wherever a catalog's href leads.
        assert fetched(FileAddress(made.redirects, access=address.access)) == DATA
        assert made.elsewhere == [None, None]


def test_a_password_that_is_refused_is_told_without_it_and_not_tried_again_and_again(monkeypatch):
    with realm(monkeypatch) as (made, address):
        monkeypatch.setenv("SCENES_PASSWORD", "wrong-password")
        for _ in range(3):
            with pytest.raises(AccessError, match=r"no token was given by .*HTTP 401.*SCENES_PASSWORD: mend") as err:
                fetched(address)
            assert "wrong-password" not in str(err.value)
        assert len(made.forms) == 1
        login.pass_of.cache_clear()
        monkeypatch.delenv("SCENES_USER")
        with pytest.raises(AccessError, match="SCENES_USER is not set where it is read"):
            fetched(address)


def test_a_token_goes_over_https_alone():
    with pytest.raises(ValueError, match="expected https"):
        TokenAccess.model_validate(
            {"token_url": "http://id.example/token", "client_id": "c", "hosts": ["d"], "user": ["U"], "password": ["P"]}
        ).check("https")
    told = login.pass_of(
        TokenAccess.model_validate(
            {
                "token_url": "https://id.example/t",
                "client_id": "c",
                "hosts": ["d.example"],
                "user": ["U"],
                "password": ["P"],
            }
        )
    ).headers("http://d.example/s.tif")
    assert told == {}


# ---- https: a login that others redirect to -------------------------------------------------------------------------


@dataclass
class Earthdata:
    """Files at one host, the login at another, as NASA has it: redirect, Basic, redirect back with a code, a cookie."""

    files: str = ""
    login: str = ""
    logins: int = 0
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    def answer(self, request: Request) -> None:
        host = request.headers["Host"].partition(":")[0]
        said = request.headers["Authorization"]
        self.seen.append((host, said))
        if host == "localhost":  # the login
            self.logins += 1
            right = said == f"Basic {base64.b64encode(f'me:{PASSWORD}'.encode()).decode()}"
            to = f"{self.files}/login?code=42"
            return request.send(302, Location=to) if right else request.send(401)
        if request.path == "/login?code=42":
            return request.send(302, Location=f"{self.files}/s.tif", Set_Cookie="session=abc; Path=/; HttpOnly")
        if request.headers["Cookie"] != "session=abc":
            return request.send(302, Location=f"{self.login}/oauth/authorize?client_id=x")
        return give(request)


@pytest.fixture
def earthdata() -> Iterator[Earthdata]:
    made = Earthdata()
    with serving(made.answer) as url:
        made.files, made.login = url, url.replace("127.0.0.1", "localhost")
        yield made


def test_a_login_is_sent_what_the_netrc_file_says_and_nobody_else_is(earthdata, monkeypatch, tmp_path: Path, caplog):
    caplog.set_level("DEBUG")
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    address = FileAddress(f"{earthdata.files}/s.tif", access=NetrcAccess(netrc=("localhost",)))
    for missing in ("", "default login me password elsewhere\n"):
        if missing:
            file.write_text(missing)
        with pytest.raises(AccessError, match=r"localhost wants a login: machine localhost in .*netrc is not there"):
            fetched(address)
    assert earthdata.logins == 0
    file.write_text(f'machine localhost login me password "{PASSWORD}"\nmachine 127.0.0.1 login me password other\n')
    assert fetched(address) == fetched(address) == DATA
    assert earthdata.logins == 1
    assert {said for host, said in earthdata.seen if host == "127.0.0.1"} == {None}
    file.write_text("machine localhost login me password wrong-password\n")
    login.pass_of.cache_clear()
    with pytest.raises(AccessError, match="localhost refuses the login") as err:
        fetched(address)
    assert "wrong-password" not in str(err.value)
    file.write_text("machine localhost login me passwrd wrong-password\n")
    with pytest.raises(ReadError, match=r"netrc: is no netrc file \(line") as err:
        fetched(address)
    assert "wrong-password" not in str(err.value)
    assert PASSWORD not in caplog.text
    assert "abc" not in caplog.text
