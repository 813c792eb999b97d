"""A company's own certificate authority, which nobody else knows, and a server on loopback that it has signed."""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def authority_in(folder: Path) -> ssl.SSLContext:
    """Writes `ca.pem` and `by-hash/`; what a server needs whose certificate that CA signed."""
    now = datetime.now(UTC)
    term = (now - timedelta(hours=1), now + timedelta(hours=1))
    own, its = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name, server = (x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, n)]) for n in ("Company CA", "server"))
    key_id = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
    signs = x509.KeyUsage(
        **dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        ),
        key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    ca = (
        x509.CertificateBuilder(name, name, own.public_key(), 1, *term)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(signs, critical=True)
        .sign(own, hashes.SHA256())
    )
    signed = (
        x509.CertificateBuilder(name, server, its.public_key(), 2, *term)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(own, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    key = its.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(signed.public_bytes(pem) + key)
    (folder / "by-hash").mkdir()
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(folder / "ca.pem")]
    mark = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (folder / "by-hash" / f"{mark}.0").write_bytes((folder / "ca.pem").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
