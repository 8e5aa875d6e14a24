"""GET /api/v1/producers/me, and writing producers' figures beside the requests, every two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from ingest_gateway.postgres_figures import FiguresUnavailableError
from ingest_gateway.producer_accounts import Counters, ProducerAccounts, account_body
from ingest_gateway.quotas import Requests
from threatlog.access.caller import Caller, caller_of
from threatlog.process.problems import Problem, described_problem

ACCOUNT_PATH: Final = "/api/v1/producers/me"
_WRITE_INTERVAL_S: Final = 2.0
_LAST_WRITE_S: Final = 0.5
log = logging.getLogger(__name__)


class FiguresStore(Protocol):
    """Where the figures of all gateways are. Every method raises FiguresUnavailableError."""

    async def own(self) -> dict[str, Counters]: ...
    async def write(self, counters: Mapping[str, Counters]) -> None: ...
    async def of_key(self, key_id: str) -> tuple[list[Counters], int]: ...


class AccountsReport:
    """The accounts of this gateway and the store of all."""

    def __init__(self, accounts: ProducerAccounts, store: FiguresStore) -> None:
        self._accounts = accounts
        self._store = store
        self._resumed = False

    async def account(self, caller: Caller) -> dict[str, object]:
        """A caller's figures over all gateways; without PostgreSQL this one's alone, and `complete` is false."""
        own = self._accounts.counters(caller.key_id)
        try:
            others, duplicates = await self._store.of_key(caller.key_id)
        except FiguresUnavailableError:
            return {**account_body([own], None), "complete": False}
        return {**account_body([own, *others], duplicates), "complete": self._resumed}

    async def write(self) -> None:
        """Once; what an earlier life of this gateway wrote is read before, since it would be overwritten."""
        changed: dict[str, Counters] = {}
        try:
            if not self._resumed:
                self._accounts.resume(await self._store.own())
                self._resumed = True
            changed = self._accounts.take_changed()
            if changed:
                await self._store.write(changed)
        except FiguresUnavailableError as error:
            self._accounts.put_back(changed)
            log.warning("producers' figures cannot be written; they are later", extra={"why": str(error)})

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Writes beside what runs inside, and once at its end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITE_S):
                    await self.write()

    async def _run(self) -> None:
        while True:
            await self.write()
            await asyncio.sleep(_WRITE_INTERVAL_S)


def account_routes(report: AccountsReport | None, requests: Requests) -> APIRouter:
    """The route; `report` is None where no keys are needed."""
    router = APIRouter(tags=["producers"])

    @router.get(
        ACCOUNT_PATH,
        summary="What became of your events: taken, refused, repeated, and your quota",
        responses={404: described_problem("No API keys are needed here, so nobody has an account")},
    )
    async def account(request: Request) -> Response:
        caller = caller_of(request.scope)
        if report is None or caller.anonymous:
            raise Problem(404, "no_account", "no API keys are needed here, so nobody has an account")
        about = {"id": caller.key_id, "name": caller.name, "sources": caller.sources and sorted(caller.sources)}
        body = {"key": about, **await report.account(caller), "quota": requests.quota_of(caller)}
        return Response(orjson.dumps(body), media_type="application/json")

    return router
