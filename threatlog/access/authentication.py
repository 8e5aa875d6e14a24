"""Lets a request through to the application only with an API key that may do what it asks for (ASGI middleware).

`Authorization: Bearer tlk_...` (RFC 6750). What is not listed in the table of routes is refused, not let through.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from starlette.routing import compile_path

from threatlog.access.caller import Caller, Scope, set_caller
from threatlog.access.failures import Failures
from threatlog.access.key_table import KeyRefusedError
from threatlog.access.key_watch import KeysUnknownError
from threatlog.process import http_metrics as asgi
from threatlog.process.problems import Problem

# What a route that anybody may ask takes.
OPEN: Final[frozenset[Scope]] = frozenset()
_BEARER: Final = "bearer "
_UNKNOWN_RETRY_AFTER_S: Final = 2
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class Keys(Protocol):
    """The keys of this process."""

    @property
    def failures(self) -> Failures: ...
    def caller(self, presented: str) -> Caller: ...


class RouteScopes:
    """Which scopes each route takes, any one of them, by its path as in the OpenAPI document."""

    def __init__(self, by_path: Mapping[str, frozenset[Scope]]) -> None:
        self.by_path = by_path
        self._templates = [(compile_path(path)[0], scopes) for path, scopes in by_path.items() if "{" in path]

    def of(self, path: str) -> frozenset[Scope] | None:
        """The scopes of a request's path; None where no route is listed."""
        found = self.by_path.get(path)
        if found is None:
            for template, scopes in self._templates:
                if template.match(path):
                    return scopes
        return found


class Gate:
    """Judges what a request shows, whatever server it came to."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def admit(self, authorization: Sequence[str], address: str) -> Caller:
        """Who sent these values of the header Authorization, from this address. Raises Problem 401, 429 or 503."""
        try:
            return self._keys.caller(_presented(authorization))
        except KeyRefusedError as error:
            # A good key gets in however many others failed from its address: guessing 256 bits needs no lock, and a
            # lock could be closed on somebody else.
            wait_s = self._keys.failures.add(error.code, address, error.key_id)
            if wait_s > 0:
                detail = "too many requests without a valid API key; only these are turned away"
                raise Problem(429, "too_many_failures", detail, math.ceil(wait_s)) from None
            raise Problem(401, error.code, str(error), more_headers=_CHALLENGE) from None
        except KeysUnknownError as error:
            raise Problem(503, "keys_unknown", str(error), _UNKNOWN_RETRY_AFTER_S) from None

    def check_scope(self, caller: Caller, needed: frozenset[Scope], address: str) -> None:
        """Whether the caller has one of these scopes, or all of them as `admin`. Raises Problem 403."""
        if needed & caller.scopes or Scope.ADMIN in caller.scopes:
            return
        self._keys.failures.add("wrong_scope", address, caller.key_id)
        held, wanted = ", ".join(sorted(caller.scopes)), " or ".join(sorted(needed))
        raise Problem(403, "wrong_scope", f"this needs an API key with the scope {wanted}; yours has {held}")

    def refusal(self, authorization: Sequence[str], address: str, needed: frozenset[Scope]) -> Problem | None:
        """Why a request that needs these scopes is not answered; None where it is."""
        try:
            self.check_scope(self.admit(authorization, address), needed, address)
        except Problem as problem:
            return problem
        return None


class Authentication:
    """Every request, before the application sees it."""

    def __init__(self, app: asgi.AsgiApp, keys: Keys, routes: RouteScopes) -> None:
        self._app = app
        self._gate = Gate(keys)
        self._routes = routes

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Passes on one request, or answers it with 401, 403, 404, 429 or 503."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: asgi.Scope) -> None:
        needed = self._routes.of(scope["path"])
        if needed == OPEN:
            return
        # The peer's own address: a header that names another is not believed.
        address = str(scope["client"][0]) if scope.get("client") else "unknown"
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        caller = self._gate.admit(given, address)
        if needed is None:
            raise Problem(404, "not_found", f"{scope['method']} {scope['path']}: no such route")
        self._gate.check_scope(caller, needed, address)
        set_caller(scope, caller)


def _presented(authorization: Sequence[str]) -> str:
    """The key in a request. Raises KeyRefusedError without one; two are none, for which is meant nobody can tell."""
    if len(authorization) != 1 or authorization[0][: len(_BEARER)].lower() != _BEARER:
        raise KeyRefusedError("missing_key", "an API key is needed: `Authorization: Bearer tlk_...`, once")
    return authorization[0][len(_BEARER) :].strip()
