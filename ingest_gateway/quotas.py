"""How many requests there may be at once, and what each API key may send in a second.

Token buckets that hold what is allowed in one second. A request is let in while its key's bucket is not empty and takes
as much as it is, so that one larger than a second's worth passes; those after it wait until that is paid for. Source of
the algorithm: Turner, "New Directions in Communications", IEEE Communications Magazine 24(10), 1986, with debt. Buckets
are this process's own: with N gateways behind one address a key may send N times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

from ingest_gateway.acceptance import Rejection
from ingest_gateway.contract import ReceivedEvent, RejectedEventError
from ingest_gateway.producer_accounts import Account, ProducerAccounts
from threatlog.access.caller import Caller, Quota
from threatlog.process.problems import Problem


class TokenBucket:
    """So much a second. `wait_s` is until something is in it."""

    __slots__ = ("_at_s", "_rate", "_tokens")

    def __init__(self, rate: float, now_s: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """0 while it is not empty."""
        self._tokens = min(self._rate, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        # At least a thousandth of a second's worth, so that whoever waited as told is let in.
        return 0.0 if self._tokens > 0 else -self._tokens / self._rate + 0.001

    def used(self, now_s: float) -> float:
        """The share that is taken, 1 when it is empty or in debt."""
        self.wait_s(now_s)
        return round(1 - max(0.0, self._tokens) / self._rate, 3)

    def take(self, amount: float) -> None:
        """Takes it, whether it is there or not."""
        self._tokens -= amount


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """`max_requests` at once in all, `max_key_requests` of one key; `quota` is that of keys without their own."""

    max_requests: int
    max_key_requests: int
    quota: Quota


class _Sender:
    """One key's buckets, and how many of its requests are being answered."""

    __slots__ = ("buckets", "quota", "requests")

    def __init__(self, quota: Quota, now_s: float) -> None:
        self.quota = quota
        self.requests = 0
        self.buckets = tuple(
            None if rate is None else TokenBucket(rate, now_s) for rate in (quota.events_per_s, quota.bytes_per_s)
        )


class Requests:
    """All ingestion requests of this process. Senders are keys, of which there are as many as were made."""

    def __init__(self, policy: RequestPolicy, clock: Callable[[], float], accounts: ProducerAccounts) -> None:
        self._policy = policy
        self._accounts = accounts
        self._clock = clock
        self._senders: dict[str, _Sender] = {}
        self.in_flight = 0

    def begin(self, caller: Caller) -> RequestPlace:
        """A place for one request of this caller; use it as a context manager. Raises Problem 429 or 503 there."""
        if caller.anonymous:
            return RequestPlace(self, None, None, caller)
        return RequestPlace(self, self._sender(caller), self._accounts.of(caller.key_id), caller)

    def quota_of(self, caller: Caller) -> dict[str, object]:
        """What a key may send in a second, None for any, and how much of it is used at this gateway now (0 to 1)."""
        sender, now_s = self._sender(caller), self._clock()
        events, size = (None if bucket is None else bucket.used(now_s) for bucket in sender.buckets)
        return {
            "events_per_second": sender.quota.events_per_s,
            "bytes_per_second": sender.quota.bytes_per_s,
            "events_used": events,
            "bytes_used": size,
        }

    def _sender(self, caller: Caller) -> _Sender:
        default = self._policy.quota
        own = caller.quota
        quota = Quota(own.events_per_s or default.events_per_s, own.bytes_per_s or default.bytes_per_s)
        sender = self._senders.get(caller.key_id)
        if sender is None or sender.quota != quota:
            sender = self._senders[caller.key_id] = _Sender(quota, self._clock())
        return sender

    def check_room(self, sender: _Sender | None) -> None:
        """Whether one more fits. Raises Problem."""
        policy = self._policy
        if self.in_flight >= policy.max_requests:
            detail = f"this gateway answers {policy.max_requests} requests already, the most at once"
            raise Problem(503, "too_many_requests", detail, extra=_NOTHING_KEPT)
        if sender is not None and sender.requests >= policy.max_key_requests:
            detail = f"{policy.max_key_requests} requests of this API key are being answered, the most at once"
            raise Problem(429, "quota_exceeded", detail, extra=_NOTHING_KEPT)

    def check_quota(self, sender: _Sender) -> None:
        """Whether its buckets hold anything. Raises Problem."""
        now_s = self._clock()
        for bucket, rate, unit in zip(
            sender.buckets, (sender.quota.events_per_s, sender.quota.bytes_per_s), ("events", "bytes"), strict=True
        ):
            if bucket is not None and (wait_s := bucket.wait_s(now_s)) > 0:
                detail = f"this API key may send {rate:g} {unit} a second and has sent more; nothing of this was kept"
                raise Problem(429, "quota_exceeded", detail, math.ceil(wait_s), extra=_NOTHING_KEPT)


_NOTHING_KEPT = {"may_be_stored": False}


class RequestPlace:
    """One request among those at once, and whose it is: its sender's account is kept through it.

    `sources` are the only ones it may send events of, None for any; `producer` is its key's id, None without one.
    """

    __slots__ = ("_account", "_requests", "_sender", "producer", "sources")

    def __init__(self, requests: Requests, sender: _Sender | None, account: Account | None, caller: Caller) -> None:
        self._requests = requests
        self._sender = sender
        self._account = account
        self.sources = caller.sources
        self.producer = None if account is None else caller.key_id.encode()

    def saw(self, items: Sequence[ReceivedEvent | RejectedEventError], received_at: datetime) -> None:
        """The events of the request say when they happened."""
        if self._account is not None:
            times = (None if isinstance(item, RejectedEventError) else item.timestamp for item in items)
            self._account.saw_times(times, received_at)

    def rejected(self, rejections: Sequence[Rejection]) -> None:
        """These of its events were refused."""
        if self._account is not None:
            self._account.rejected(rejections)

    def accepted(self, count: int) -> None:
        """So many of its events are safe."""
        if self._account is not None:
            self._account.accepted(count)

    def charge(self, events: int, size_bytes: int) -> None:
        """Takes what is about to be sent on from the quota. Raises Problem 429 where it was emptied meanwhile."""
        if self._account is not None:
            self._account.received(size_bytes)
        if self._sender is not None:
            self._requests.check_quota(self._sender)
            for bucket, amount in zip(self._sender.buckets, (events, size_bytes), strict=True):
                if bucket is not None:
                    bucket.take(amount)

    def __enter__(self) -> RequestPlace:
        self._requests.check_room(self._sender)
        if self._sender is not None:
            self._requests.check_quota(self._sender)
            self._sender.requests += 1
        self._requests.in_flight += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._requests.in_flight -= 1
        if self._sender is not None:
            self._sender.requests -= 1
