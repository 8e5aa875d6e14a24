"""`threatlog index`: builds the indexes of closed days as whoever owns the tables, where workers may not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stream_app.day_indexes import DayIndexes
from stream_app.outcomes import ConfigurationFaultError, StoreUnavailableError
from stream_app.postgres_store import PostgresStore
from threatlog.process.exit_codes import EXIT_CONFIGURATION, EXIT_OK, EXIT_TRY_LATER
from threatlog.process.logs import configure_logs

if TYPE_CHECKING:
    from threatlog.process.settings import Settings

log = logging.getLogger(__name__)
INTERVAL_S: Final = 60.0


def run(settings: Settings, *, once: bool) -> int:
    """Goes on until SIGTERM or Ctrl-C, or looks `once`. Returns the exit code."""
    configure_logs("index", settings.log.level)
    return asyncio.run(_until_told(settings, once=once))


async def _until_told(settings: Settings, *, once: bool) -> int:
    working = asyncio.create_task(_work(settings, once=once))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await working
    return EXIT_OK


async def _work(settings: Settings, *, once: bool) -> int:
    store = PostgresStore(settings.postgres, settings.kafka.topic, "index")
    indexes = DayIndexes(store, lambda: datetime.now(UTC))
    while True:
        try:
            if not await indexes.build():
                log.error("only the owner of the tables may build indexes: the user that runs `threatlog migrate`")
                return EXIT_CONFIGURATION
            code = EXIT_OK
        except StoreUnavailableError as error:
            log.warning(f"indexes wait: {error.trouble}", extra={"why": str(error)})
            code = EXIT_TRY_LATER
        except ConfigurationFaultError as error:
            log.error("%s", error)
            return EXIT_CONFIGURATION
        if once:
            await store.close()
            return code
        await asyncio.sleep(INTERVAL_S)
