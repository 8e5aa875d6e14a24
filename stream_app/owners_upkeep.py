"""What only the owner of the tables may do to them: drop days past their retention, and index days that have closed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from stream_app.day_indexes import DayIndexes
from stream_app.partitions import Sessions
from stream_app.retention import Retention

OWNS_LOGS: Final = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'logs'::regclass"


class OwnersUpkeep:
    """Done by `threatlog maintain`, or by a worker that logs in as the owner; several may."""

    def __init__(self, sessions: Sessions, retention_days: int, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._retention = Retention(sessions, retention_days, now)
        self._indexes = DayIndexes(sessions, now)

    async def do(self) -> bool:
        """Does what is due; False where it may not. Raises StoreUnavailableError."""
        async with self._sessions.session() as connection:
            if not await connection.fetchval(OWNS_LOGS):
                return False
        # First, since an index may take its time, and a disk may be about to be full.
        await self._retention.enforce()
        await self._indexes.build()
        return True
