"""Certificates of two authorities as files, good ones and such as must be refused."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate with its chain, and its key, each in a file of its own."""

    certificate: Path
    key: Path


class Certificates:
    """Those of an authority of ours, and those of one that nobody knows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ours, unknown = trustme.CA(), trustme.CA()
        self.ca, self.unknown_ca = folder / "ca.pem", folder / "unknown-ca.pem"
        ours.cert_pem.write_to_path(self.ca)
        unknown.cert_pem.write_to_path(self.unknown_ca)
        past = datetime.now(UTC) - timedelta(days=1)
        self.server = self._written("server", ours.issue_cert(HOST))
        self.expired = self._written("expired", ours.issue_cert(HOST, not_before=past - timedelta(1), not_after=past))
        self.elsewhere = self._written("elsewhere", ours.issue_cert("elsewhere.example"))
        self.strange = self._written("strange", unknown.issue_cert(HOST))
        self.client = self._written("client", ours.issue_cert("threatlog.example"))

    def _written(self, name: str, issued: trustme.LeafCert) -> Files:
        files = Files(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        files.certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        # The only form of key that Kafka reads from PEM.
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        # libpq takes no key that others may read.
        files.key.chmod(0o600)
        return files

    def server_context(self, shown: Files) -> ssl.SSLContext:
        """Of a server that shows `shown` and lets only clients with a certificate of our authority in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.certificate, shown.key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context
