"""`threatlog maintain`: what only the owner of the tables may do, as a process beside workers that are not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stream_app.filter_building import FilterBuilding
from stream_app.outcomes import ConfigurationFaultError, StoreUnavailableError
from stream_app.owners_upkeep import OwnersUpkeep
from stream_app.postgres_store import PostgresStore
from threatlog.process.exit_codes import EXIT_CONFIGURATION, EXIT_OK, EXIT_TRY_LATER
from threatlog.process.logs import configure_logs

if TYPE_CHECKING:
    from threatlog.process.settings import Settings

log = logging.getLogger(__name__)
INTERVAL_S: Final = 60.0
# In one round, so that days past their retention do not wait for long.
_HOURS_A_ROUND: Final = 10


def run(settings: Settings, *, once: bool) -> int:
    """Goes on until SIGTERM or Ctrl-C, or looks `once`. Returns the exit code."""
    configure_logs("maintain", settings.log.level)
    return asyncio.run(_until_told(settings, once=once))


def _now() -> datetime:
    return datetime.now(UTC)


async def _until_told(settings: Settings, *, once: bool) -> int:
    working = asyncio.create_task(_work(settings, once=once))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await working
    return EXIT_OK


async def _work(settings: Settings, *, once: bool) -> int:
    store = PostgresStore(settings.postgres, settings.kafka.topic, "maintain")
    upkeep = OwnersUpkeep(store, settings.storage.retention_days, _now)
    building = FilterBuilding(store, _now) if settings.storage.word_filters else None
    while True:
        try:
            if not await upkeep.do():
                log.error("only the owner of the tables may maintain them: the user that runs `threatlog migrate`")
                return EXIT_CONFIGURATION
            while building is not None and await building.build(_HOURS_A_ROUND) and once:
                pass
            code = EXIT_OK
        except StoreUnavailableError as error:
            log.warning(f"the tables wait to be maintained: {error.trouble}", extra={"why": str(error)})
            code = EXIT_TRY_LATER
        except ConfigurationFaultError as error:
            log.error("%s", error)
            return EXIT_CONFIGURATION
        if once:
            await store.close()
            return code
        await asyncio.sleep(INTERVAL_S)
