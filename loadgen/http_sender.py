"""Sends events to the gateway over HTTP, and reads from its answers what became of them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec
import zstandard

from loadgen.http_connection import HttpClient, NotConnectedError, Response
from loadgen.outcome import Attempt, Fate, TargetUnreachableError

ENCODINGS: Final = ("identity", "gzip", "zstd")
SHAPES: Final = ("json", "ndjson")


class _RejectedItem(msgspec.Struct):
    index: int
    code: str = "unnamed"


class _BatchAnswer(msgspec.Struct):
    accepted: int
    rejected: int = 0
    errors: list[_RejectedItem] = []


class _Problem(msgspec.Struct):
    code: str = ""
    # Who does not say has to be taken for the worse.
    may_be_stored: bool = True


_batch_answer: Final = msgspec.json.Decoder(_BatchAnswer)
_problem: Final = msgspec.json.Decoder(_Problem)


@dataclass(frozen=True, slots=True)
class HttpFormat:
    """How requests are written: one event each or batches, as JSON or NDJSON, and how they are compressed."""

    batch: int = 1
    shape: str = "json"
    encoding: str = "identity"

    @property
    def single(self) -> bool:
        return self.batch == 1 and self.shape == "json"


class HttpSender:
    """The gateway as a target; single events go to `/api/v1/logs/ingest`, all else to `/api/v1/logs/ingest/batch`."""

    def __init__(self, client: HttpClient, how: HttpFormat, connections: int) -> None:
        self._client: Final = client
        self._how: Final = how
        self._connections: Final = connections
        self._compress: Final = _compressor(how.encoding)
        path = "/api/v1/logs/ingest" if how.single else "/api/v1/logs/ingest/batch"
        kind = "application/json" if how.shape == "json" else "application/x-ndjson"
        encoded = "" if how.encoding == "identity" else f"Content-Encoding: {how.encoding}\r\n"
        self._head: Final = (
            f"POST {client.endpoint.base_path}{path} HTTP/1.1\r\n{client.endpoint.fixed_headers}"
            f"Content-Type: {kind}\r\n{encoded}Content-Length: "
        ).encode()

    async def open(self) -> None:
        try:
            await self._client.open(self._connections)
        except NotConnectedError as error:
            raise TargetUnreachableError(f"the gateway is not there: {error}") from None

    def pack(self, values: Sequence[bytes]) -> Sequence[bytes]:
        """The whole request, once; every attempt sends these bytes."""
        if self._how.single:
            body = values[0]
        elif self._how.shape == "json":
            body = b'{"logs":[%b]}' % b",".join(values)
        else:
            body = b"\n".join(values) + b"\n"
        body = self._compress(body)
        return (b"%b%d\r\n\r\n%b" % (self._head, len(body), body),)

    async def attempt(self, packed: Sequence[bytes]) -> Attempt:
        try:
            response = await self._client.request(packed[0])
        except NotConnectedError:
            return Attempt(Fate.NOT_TAKEN, "not connected", retry=True)
        except ConnectionError:
            return Attempt(Fate.UNKNOWN, "connection lost", retry=True)
        except TimeoutError:
            return Attempt(Fate.UNKNOWN, "timed out", retry=True)
        return read_answer(response, self._how.single)

    async def close(self) -> None:
        self._client.close()


def read_answer(response: Response, single: bool) -> Attempt:
    """What an answer of the gateway says about the events, by its documented contract.

    429 means not taken. 503 may follow a send that Kafka acknowledges later: unless it says that nothing may be stored,
    it leaves the events unknown, as does every other server error. Only 429 and 503 are sent again. Any other refusal
    is final.
    """
    status = response.status
    if status in {200, 201}:
        if single:
            return Attempt(Fate.ACKED, str(status))
        return _read_batch(response)
    problem = _read_problem(response.body)
    code = f"{status} {problem.code}".rstrip()
    if status in {429, 503}:
        fate = Fate.UNKNOWN if status == 503 and problem.may_be_stored else Fate.NOT_TAKEN
        return Attempt(fate, code, retry=True, retry_after_s=seconds_of(response.retry_after))
    return Attempt(Fate.UNKNOWN if status >= 500 else Fate.REFUSED, code)


def _read_batch(response: Response) -> Attempt:
    try:
        answer = _batch_answer.decode(response.body)
    except msgspec.DecodeError:
        return Attempt(Fate.UNKNOWN, f"{response.status} with an unreadable body")
    if len(answer.errors) != answer.rejected:
        return Attempt(Fate.UNKNOWN, f"{response.status} that does not list each rejected item")
    return Attempt(Fate.ACKED, str(response.status), rejected=tuple((e.index, e.code) for e in answer.errors))


def _read_problem(body: bytes) -> _Problem:
    try:
        return _problem.decode(body)
    except msgspec.DecodeError:
        return _Problem("not a problem document")


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds from a `Retry-After` header (RFC 9110: whole seconds or a date); None when absent or unreadable."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _compressor(encoding: str) -> Callable[[bytes], bytes]:
    if encoding == "gzip":
        # A fixed time in the header keeps the bytes of a repeated request the same.
        return lambda body: gzip.compress(body, compresslevel=1, mtime=0)
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=1).compress
    return lambda body: body
