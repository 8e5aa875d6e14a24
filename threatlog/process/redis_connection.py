"""How any connection to Redis is made, as the keywords of redis-py's `Redis`, and what its errors say."""

from __future__ import annotations

import ssl
from typing import Any

from threatlog.process.server_settings import Redis


def connect_keywords(settings: Redis) -> dict[str, Any]:
    """Where, as whom, and over what; redis-py makes the same context of the files as `tls.context_of`."""
    keywords: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "db": settings.database,
        "username": settings.username or None,
        "password": settings.password.get_secret_value() or None,
    }
    if settings.tls:
        keywords |= {
            "ssl": True,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            "ssl_ca_certs": settings.tls_ca or None,
            "ssl_certfile": settings.tls_certificate or None,
            "ssl_keyfile": settings.tls_key or None,
        }
    return keywords


def reason(error: BaseException) -> str:
    """Why Redis was of no use, in words; the `repr` of redis-py 8's errors is only `network:ConnectionError`."""
    return f"{type(error).__name__}: {str(error) or 'no answer in time'}"
