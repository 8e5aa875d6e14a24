"""TLS towards Kafka, PostgreSQL and Redis: contexts made of the files that the settings name."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Protocol


class TlsFileError(Exception):
    """A file cannot be used; `setting` is the name of the one that names it, the text says why."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(why)
        self.setting = setting


class TlsFiles(Protocol):
    """The settings of one server; each is a path or empty."""

    @property
    def tls_ca(self) -> str:
        """Of the certificates that are trusted; empty: those of the system."""

    @property
    def tls_certificate(self) -> str:
        """Of the certificate by which we are known; empty: none."""

    @property
    def tls_key(self) -> str:
        """Of the certificate's key; empty: it stands in the certificate's file."""


def context_of(files: TlsFiles, *, verified: bool = True) -> ssl.SSLContext:
    """The same for the same files. Unless `verified`, whoever answers is trusted. Raises TlsFileError.

    The files are read once in a process: a renewed certificate is used from the next start on.
    """
    return _context(files.tls_ca, files.tls_certificate, files.tls_key, verified)


@lru_cache
def _context(authorities: str, certificate: str, key: str, verified: bool) -> ssl.SSLContext:
    for setting, path in (("tls_ca", authorities), ("tls_certificate", certificate), ("tls_key", key)):
        _require_readable(setting, path)
    try:
        context = ssl.create_default_context(cafile=authorities or None)
    except ssl.SSLError as error:
        raise TlsFileError("tls_ca", f"holds no certificates in PEM ({error.reason})") from None
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        _load_own(context, certificate, key)
    return context


def _require_readable(setting: str, path: str) -> None:
    try:
        if path:
            Path(path).read_bytes()
    except OSError as error:
        raise TlsFileError(setting, f"cannot be read: {error.strerror}") from None


class _EncryptedKeyError(Exception):
    """The key wants a passphrase."""


def _no_passphrase() -> str:
    # Without this OpenSSL would ask on the terminal.
    raise _EncryptedKeyError


def _load_own(context: ssl.SSLContext, certificate: str, key: str) -> None:
    holder = "tls_key" if key else "tls_certificate"
    try:
        context.load_cert_chain(certificate, key or None, _no_passphrase)
    except _EncryptedKeyError:
        raise TlsFileError(holder, "holds a key under a passphrase; give one without") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsFileError(holder, "holds a key of another certificate") from None
        raise TlsFileError("tls_certificate", f"and its key cannot be used as PEM ({error.reason})") from None
