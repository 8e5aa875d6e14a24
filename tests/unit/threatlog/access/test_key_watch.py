"""One process's copy of the keys."""

from __future__ import annotations

import pytest

from tests.unit.threatlog.access.key_bench import MAX_STALE_S, KeyBench, id_of, with_other_secret
from threatlog.access.caller import Scope
from threatlog.access.key_table import KeyRefusedError
from threatlog.access.key_watch import KeysUnknownError


async def test_a_good_key_names_its_caller() -> None:
    bench = KeyBench()
    text = await bench.key([Scope.QUERY])
    caller = bench.watch.caller(text)
    assert (caller.key_id, caller.scopes, caller.anonymous) == (id_of(text), frozenset({Scope.QUERY}), False)


async def test_a_key_is_refused_for_what_is_wrong_with_it() -> None:
    bench = KeyBench()
    good, revoked, expired = await bench.key(), await bench.key(), await bench.key(good_s=60)
    await bench.revoke(revoked)
    bench.passed_s = 60
    for text, code in [
        ("tlk_nonsense", "bad_key"),
        (good[:-1], "bad_key"),
        (with_other_secret(good), "bad_key"),
        (revoked, "revoked_key"),
        (expired, "expired_key"),
        # Who does not know the secret does not learn what became of the key.
        (with_other_secret(revoked), "bad_key"),
    ]:
        with pytest.raises(KeyRefusedError) as caught:
            bench.watch.caller(text)
        assert caught.value.code == code
        assert text not in str(caught.value)


async def test_nobody_is_let_in_before_the_keys_are_known() -> None:
    bench = KeyBench()
    bench.store.away = True
    assert not await bench.watch.refresh()
    with pytest.raises(KeysUnknownError, match="not been read"):
        bench.watch.caller("tlk_any")


async def test_known_keys_outlast_postgresql_for_as_long_as_the_setting_says() -> None:
    bench = KeyBench()
    text = await bench.key()
    bench.store.away = True
    bench.passed_s = MAX_STALE_S
    assert not await bench.watch.refresh()
    assert bench.watch.caller(text).key_id == id_of(text)
    bench.passed_s += 1
    with pytest.raises(KeysUnknownError, match="away for 3601 s"):
        bench.watch.caller(text)
    bench.store.away = False
    assert await bench.watch.refresh()
    assert bench.watch.caller(text).key_id == id_of(text)


async def test_uses_and_failures_are_written_and_wait_while_postgresql_is_away() -> None:
    bench = KeyBench()
    text = await bench.key()
    bench.watch.caller(text)
    used_at = bench.now()
    bench.watch.failures.add("bad_key", "10.0.0.1", "abc")
    bench.store.away = True
    await bench.watch.note()
    bench.store.away = False
    bench.passed_s = 5
    await bench.watch.note()
    assert bench.store.keys[id_of(text)].last_used_at == used_at
    assert [entry.action for entry in bench.store.entries] == ["key.created", "authentication.failed"]
