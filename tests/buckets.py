"""Buckets of a server that speaks S3, on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3
import pytest

from curation.read import ranges
from tests.loopback import Request
from tests.stream.servers import moto

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secretexample", "AWS_REGION": "us-east-1"}


@contextlib.contextmanager
def bucket() -> Iterator[str]:
    """Address of a server, on which there is a bucket called `bucket`."""
    with moto() as url:
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        client.create_bucket(Bucket="bucket")
        client.close()
        yield url


def reached_at(url: str, patch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a bucket from now on asks there."""
    for name, value in {"AWS_ENDPOINT_URL": url, **KEYS}.items():
        patch.setenv(name, value)
    ranges._store.cache_clear()  # clients of a bucket of the same name, which another server had


@dataclass(frozen=True)
class Answer:
    """What a server gave to whom a request was passed on."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def send(self, request: Request) -> None:
        """Gives it to who asked."""
        request.send_response(self.status)
        for name, value in self.headers:
            if name.lower() not in ("connection", "date", "server"):
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(self.body)


def passed_on(request: Request, url: str) -> Answer:
    """What another server gives to a request."""
    behind = http.client.HTTPConnection(url.removeprefix("http://"))
    behind.request(request.command, request.path, request.body, dict(request.headers))
    answer = behind.getresponse()
    body = answer.read()
    behind.close()
    return Answer(answer.status, answer.getheaders(), body)


def signature(request: Request, secret: str) -> str:
    """The signature of a request by AWS's own description of version 4, and nobody's client."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=[^/]+/(\d+)/([^/]+)/s3/aws4_request, SignedHeaders=([^,]+), Signature=\w+",
        request.headers["Authorization"],
    )
    assert found
    day, region, names = found.groups()
    headers = "".join(f"{n}:{request.headers[n].strip()}\n" for n in names.split(";"))
    parts = urlsplit(request.path)
    payload = request.headers["x-amz-content-sha256"]
    canonical = "\n".join([request.command, parts.path, parts.query, headers, names, payload])
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, digest])
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()
