"""The page at /docs works without another host: everything it loads comes from the same process."""

from __future__ import annotations

import re

import httpx


async def test_the_docs_page_loads_nothing_from_another_host(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 2
    for address in loaded:
        assert address.startswith("/"), address
        assert (await client.get(address)).status_code == 200, address
