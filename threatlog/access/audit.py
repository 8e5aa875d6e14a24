"""Entries of the audit log: what was done, by whom, to what."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry. `actor`: user@host of a command, the id of a key, or an address; `action`: such as `key.revoked`."""

    actor: str
    action: str
    target: str
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as it stands in the log."""

    at: datetime
    entry: AuditEntry


def operator() -> str:
    """Who runs this command: the account and the host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
