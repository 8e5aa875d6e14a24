"""The group roles in PostgreSQL whose rights `threatlog migrate` sets, and who logs in as a member of each."""

from __future__ import annotations

from typing import Final

# Nobody logs in as one of them.
GATEWAY: Final = "threatlog_gateway"
WRITER: Final = "threatlog_writer"
READER: Final = "threatlog_reader"
ROLES: Final = (GATEWAY, WRITER, READER)

# Service -> the login of what we run ourselves. Whoever migrates is the owner, and has all rights without these.
LOGINS: Final = {
    "gateway": ("threatlog_gateway_login", GATEWAY),
    "stream": ("threatlog_stream_login", WRITER),
    "query": ("threatlog_query_login", READER),
}
