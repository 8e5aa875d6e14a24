"""Answers that are given again: by the same process, and by others that share a Redis with it."""

from __future__ import annotations

import pytest

from tests.conftest import MakeStack
from tests.integration.query_api.running import COSTLY, EVENTS, fill, redis_command, start_query, without
from tests.processes import Spawner
from tests.servers import Stack

pytestmark = pytest.mark.integration


@pytest.fixture
def stack(make_stack: MakeStack) -> Stack:
    made = make_stack()
    fill(made, EVENTS)
    return made


def test_what_costs_little_is_kept_by_each_process_and_says_how_old_it_is(stack: Stack, spawn: Spawner) -> None:
    api, other = start_query(spawn, stack), start_query(spawn, stack)
    first, second = api.page(), api.page()
    assert (first["cached"], second["cached"], other.page()["cached"]) == (False, True, False)
    assert second["age_ms"] >= 0
    assert without(second) == without(first)


def test_what_costs_much_is_shared_by_processes_and_says_how_old_it_is(stack: Stack, spawn: Spawner) -> None:
    first = start_query(spawn, stack).page(q=COSTLY)
    second = start_query(spawn, stack).page(q=COSTLY)
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["age_ms"] >= 0
    assert without(second) == without(first)


def test_a_cache_that_is_turned_off_is_not_used(stack: Stack, spawn: Spawner) -> None:
    api = start_query(spawn, stack, THREATLOG_CACHE_QUERY_CACHE_ENABLED="false")
    assert [api.page()["cached"], api.page()["cached"]] == [False, False]
    assert redis_command(stack, "KEYS", f"{stack.settings.redis.key_prefix}page:*") == []
