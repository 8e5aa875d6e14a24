"""The query API over HTTP, and httpx's errors in our words. This package's only httpx import.

Seen with httpx 0.28: a proxy of the environment is used for 127.0.0.1 too, unless told otherwise; a text like `:x` in
the place of a URL raises InvalidURL, which is none of its HTTPError.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final

import httpx
import msgspec

from threatlog.search.failures import AwayError, BrokenOffError, BusyError, SearchError, WrongQueryError

QUERY_PATH: Final = "/api/v1/logs/query"
TAIL_PATH: Final = "/api/v1/logs/tail"
_CONNECT_S: Final = 5.0
# The query API answers within its own time-outs; whoever is silent for longer is not there.
_ANSWER_S: Final = 60.0
# The tail says at least every 15 seconds that it is there.
_SILENT_S: Final = 45.0
_MOST_PROBLEM_BYTES: Final = 64 * 1024
_DEFAULT_RETRY_S: Final = 1.0
_MOST_RETRY_S: Final = 30.0
# Together; then whoever waits is told.
_MOST_WAIT_S: Final = 60.0
_MOST_BREAKS: Final = 2


@dataclass(frozen=True, slots=True)
class Address:
    """Where the query API is, and what it wants to see; `key` and `ca_file` may be empty."""

    url: str
    key: str = ""
    ca_file: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine: then no proxy is between."""
        host = httpx.URL(self.url).host
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


class Lag(msgspec.Struct, frozen=True):
    """How far storage was behind, at `as_of` of the query API's clock."""

    as_of: datetime | None = None


class Page(msgspec.Struct, frozen=True):
    """One page of events, each as the sender's bytes stand in the answer."""

    logs: list[msgspec.Raw]
    next_cursor: str | None
    total: int | None = None
    scanned_until: datetime | None = None
    complete_until: datetime | None = None
    incomplete_reason: str | None = None
    lag: Lag = Lag()


_page: Final = msgspec.json.Decoder(Page).decode


class QueryApi:
    """Asks one query API over one connection. What it raises are SearchErrors."""

    def __init__(self, address: Address, sleep: Callable[[float], None], say: Callable[[str], None]) -> None:
        self._address = address
        self._sleep = sleep
        self._say = say
        self._client = _client(address)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def page(self, parameters: Mapping[str, str]) -> Page:
        """One page. Where the query API is busy or away for a moment, it is asked again for a while."""
        waited_s, breaks = 0.0, 0
        while True:
            try:
                return self._page(parameters)
            except BusyError as error:
                if waited_s >= _MOST_WAIT_S:
                    raise
                problem, wait_s = str(error), error.retry_after_s
            except BrokenOffError as error:
                breaks += 1
                if breaks > _MOST_BREAKS:
                    raise
                problem, wait_s = str(error), _DEFAULT_RETRY_S
            self._say(f"{problem}; asking again in {wait_s:g} s")
            self._sleep(wait_s)
            waited_s += wait_s

    def _page(self, parameters: Mapping[str, str]) -> Page:
        with self._translated():
            answer = self._client.get(QUERY_PATH, params=dict(parameters))
            if answer.status_code != httpx.codes.OK:
                raise _problem(answer.status_code, answer.content, answer.headers)
            try:
                return _page(answer.content)
            except msgspec.DecodeError:
                raise SearchError(f"{self._address.url} answers, and is no query API of ThreatLog") from None

    @contextmanager
    def tail(self, parameters: Mapping[str, str], last_id: str) -> Iterator[Iterator[bytes]]:
        """The bytes of the live stream, from behind `last_id` on where it is given. Not asked for again here."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        timeout = httpx.Timeout(_SILENT_S, connect=_CONNECT_S)
        with (
            self._translated(),
            self._client.stream("GET", TAIL_PATH, params=dict(parameters), headers=headers, timeout=timeout) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise _problem(answer.status_code, _beginning(answer), answer.headers)
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                raise SearchError(f"{self._address.url} answers, and is no query API of ThreatLog")
            yield answer.iter_bytes()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise AwayError(f"no query API answers at {self._address.url} ({_reason(error)})") from None
        except (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout, httpx.WriteError) as error:
            raise BrokenOffError(f"the query API at {self._address.url} broke off ({_reason(error)})") from None
        except httpx.HTTPError as error:
            raise SearchError(f"{self._address.url} cannot be asked ({_reason(error)})") from None


def _client(address: Address) -> httpx.Client:
    """Raises SearchError where the address or a file of certificates cannot be used."""
    try:
        url = httpx.URL(address.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise SearchError(f"{address.url!r} is no address such as http://127.0.0.1:8081")
        context = ssl.create_default_context(cafile=address.ca_file or None) if url.scheme == "https" else True
    except (httpx.InvalidURL, ValueError):
        raise SearchError(f"{address.url!r} is no address such as http://127.0.0.1:8081") from None
    except (ssl.SSLError, OSError) as error:
        raise SearchError(f"{address.ca_file}: cannot be used as certificates ({error})") from None
    headers = {"User-Agent": "threatlog-search"}
    if address.key:
        headers["Authorization"] = f"Bearer {address.key}"
    return httpx.Client(
        base_url=url,
        headers=headers,
        verify=context,
        timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
        trust_env=not address.is_local,
    )


def _beginning(answer: httpx.Response) -> bytes:
    content = b""
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > _MOST_PROBLEM_BYTES:
            break
    return content


def _problem(status: int, content: bytes, headers: Mapping[str, str]) -> SearchError:
    """What a problem document says, or the status where there is none."""
    try:
        found: Any = msgspec.json.decode(content[:_MOST_PROBLEM_BYTES])
    except msgspec.DecodeError:
        found = None
    problem = found if isinstance(found, dict) else {}
    detail = str(problem.get("detail") or f"the query API answers {status}")
    position = problem.get("position")
    if problem.get("parameter") == "q" and isinstance(position, int):
        return WrongQueryError(detail, position)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return SearchError(f"{detail}; a key is taken from THREATLOG_API_KEY or --key-file")
    if status in (429, 502, 503, 504):
        return BusyError(detail, _retry_after_s(headers))
    return SearchError(detail)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    text = headers.get("retry-after", "")
    return min(max(float(text), 0.1), _MOST_RETRY_S) if text.isascii() and text.isdigit() else _DEFAULT_RETRY_S


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it took too long"
    return str(error) or type(error).__name__
