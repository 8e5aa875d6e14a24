"""All API keys as one process knows them, and whose key one that was presented is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from threatlog.access.api_key import MalformedKeyError, parse_key
from threatlog.access.caller import Caller


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key without its secret. `caller` is whoever presents it."""

    caller: Caller
    secret_hash: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    replaced_by: str | None = None

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def check_active(self, now: datetime) -> None:
        """Raises KeyRefusedError with `revoked_key` or `expired_key`."""
        state = self.state(now)
        if state != "active":
            ended_at = self.revoked_at if state == "revoked" else self.expires_at
            ended = "was revoked" if state == "revoked" else "expired"
            detail = f"this API key {ended} at {ended_at:%Y-%m-%dT%H:%M:%SZ}"
            raise KeyRefusedError(f"{state}_key", detail, self.caller.key_id)


class KeyRefusedError(Exception):
    """A presented key is not accepted. `code` says why; `key_id` is empty where the text is no key."""

    def __init__(self, code: str, detail: str, key_id: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.key_id = key_id


class KeyTable:
    """Every key by its id; a value that is replaced whole when the keys change."""

    def __init__(self, keys: Iterable[StoredKey] = ()) -> None:
        self._keys: Mapping[str, StoredKey] = {key.caller.key_id: key for key in keys}

    def has_active(self, now: datetime) -> bool:
        """Whether anybody at all can be let in."""
        return any(key.state(now) == "active" for key in self._keys.values())

    def caller(self, presented: str, now: datetime) -> Caller:
        """Whose key this is. Raises KeyRefusedError with `bad_key`, `revoked_key` or `expired_key`."""
        try:
            key = parse_key(presented)
        except MalformedKeyError as error:
            raise KeyRefusedError("bad_key", str(error)) from None
        stored = self._keys.get(key.key_id)
        # One answer for both, so that ids cannot be tried out. What is said of a key's state, only its holder learns.
        if stored is None or not key.matches(stored.secret_hash):
            raise KeyRefusedError("bad_key", "this API key is not known here", key.key_id)
        stored.check_active(now)
        return stored.caller

    def of_id(self, key_id: str, now: datetime) -> Caller:
        """Whose key has this id, if it is still good. Raises KeyRefusedError."""
        stored = self._keys.get(key_id)
        if stored is None:
            raise KeyRefusedError("bad_key", "this API key is not known here", key_id)
        stored.check_active(now)
        return stored.caller
