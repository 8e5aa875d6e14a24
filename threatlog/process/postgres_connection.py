"""How any connection to PostgreSQL is made, as the keywords of asyncpg's `connect` and `create_pool`."""

from __future__ import annotations

from typing import Any

from threatlog.process.server_settings import Postgres


def connect_keywords(settings: Postgres) -> dict[str, Any]:
    """Where, as whom, and how long at most."""
    return {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "database": settings.database,
        "password": settings.password.get_secret_value() or None,
        "timeout": settings.connect_timeout,
    }
