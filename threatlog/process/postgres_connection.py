"""How any connection to PostgreSQL is made: the keywords of asyncpg's `connect` and `create_pool`, and libpq's."""

from __future__ import annotations

import ssl
from typing import Any, Literal

from threatlog.process.server_settings import Postgres
from threatlog.process.tls import context_of


def uses_tls(settings: Postgres) -> bool:
    """Whether connections are encrypted."""
    return settings.tls != "disable"


def connect_keywords(settings: Postgres) -> dict[str, Any]:
    """Where, as whom, over what, and how long at most. Raises TlsFileError."""
    return {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "database": settings.database,
        "password": settings.password.get_secret_value() or None,
        "timeout": settings.connect_timeout,
        "ssl": _context(settings),
    }


def _context(settings: Postgres) -> ssl.SSLContext | Literal[False]:
    """Never None: asyncpg would encrypt where the server likes it, and go on in clear where not."""
    if not uses_tls(settings):
        return False
    return context_of(settings, verified=settings.tls == "verify-full")


def libpq_tls(settings: Postgres) -> dict[str, str]:
    """The same for psycopg, in the words of libpq."""
    words = {"sslmode": settings.tls}
    if settings.tls == "verify-full":
        words["sslrootcert"] = settings.tls_ca or "system"
    if uses_tls(settings) and settings.tls_certificate:
        words["sslcert"] = settings.tls_certificate
        words["sslkey"] = settings.tls_key or settings.tls_certificate
    return words
