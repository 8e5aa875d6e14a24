"""Where keys are needed."""

from __future__ import annotations

import pytest

from threatlog.access.requirement import keys_required
from threatlog.process.addresses import is_loopback
from threatlog.process.settings import Access, Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_what_only_this_machine_reaches_is_loopback(host: str) -> None:
    assert is_loopback(host)
    assert not keys_required(Settings(), host)
    assert keys_required(Settings(access=Access(required="always")), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "2001:db8::1", "no-such-name.invalid", ""])
def test_everything_else_needs_keys(host: str) -> None:
    assert not is_loopback(host)
    assert keys_required(Settings(), host)
