"""The files of the page over HTTP: kept for ever under their version, otherwise asked anew, under a strict policy."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from query_api.page.static_files import FOLDER, StaticFiles
from tests.unit.query_api.app_bench import Bench

VERSION = StaticFiles.read().version
SOURCES = sorted(path.name for path in FOLDER.iterdir())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Bench().app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as made:
        yield made


async def test_the_start_page_is_asked_for_anew_and_names_files_that_never_change(client: httpx.AsyncClient) -> None:
    start = await client.get("/")
    assert (start.status_code, start.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert start.headers["cache-control"] == "no-cache"
    named = re.findall(r'(?:src|href)="(/page/[^"]+)"', start.text)
    assert len(named) >= 6
    for path in named:
        answer = await client.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_what_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    for path in ("/", f"/page/{VERSION}/main.js"):
        etag = (await client.get(path)).headers["etag"]
        for known in (etag, f'"other", W/{etag}'):
            again = await client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("identity", False), ("gzip;q=0", False), ("", False)],
)
async def test_it_is_compressed_for_who_takes_that(
    client: httpx.AsyncClient, accepted: str, is_compressed: bool
) -> None:
    answer = await client.get("/", headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("content-encoding") == "gzip") == is_compressed
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.text == StaticFiles.read().start.plain.decode()
    assert gzip.decompress(StaticFiles.read().start.compressed).decode() == answer.text


@pytest.mark.parametrize("name", ["index.html", "../routes.py", "nothing.js", "%2e%2e", "MAIN.JS"])
async def test_no_other_file_is_given(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/page/{VERSION}/{name}")).status_code == 404


async def test_a_file_of_another_version_is_given_but_not_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/page/other/main.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


def test_any_change_of_a_file_is_another_version() -> None:
    files = {"index.html": b"{{version}}", "a.js": b"1", "b.js": b"2"}
    versions = {
        StaticFiles(changed).version
        for changed in (files, {**files, "a.js": b"3"}, {**files, "a.js": b"1b", "b.js": b""}, {**files, "c.js": b""})
    }
    assert len(versions) == 4
    assert StaticFiles(files).start.plain.decode() == StaticFiles(files).version


@pytest.mark.parametrize("path", ["/", f"/page/{VERSION}/main.js"])
async def test_the_policy_lets_nothing_run_or_come_from_elsewhere(client: httpx.AsyncClient, path: str) -> None:
    policy = (await client.get(path)).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert set(rules.values()) == {"'none'", "'self'", "'script'"}


@pytest.mark.parametrize("name", SOURCES)
def test_no_source_reads_markup_or_names_another_host(name: str) -> None:
    """The policy would stop it; here it is not even written."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    words = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|setHTML|srcdoc"
    assert not re.findall(words, text)
    hosts = set(re.findall(r"https?://([\w.-]+)", text))
    assert hosts <= {"www.w3.org", "html.spec.whatwg.org"}
    assert not re.findall(r'\sstyle="|\son\w+="', text)


@pytest.mark.parametrize("name", [name for name in SOURCES if name.endswith((".js", ".css"))])
def test_modules_are_short_and_say_what_they_are(name: str) -> None:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300
    assert re.match(r"/[*/]", lines[1 if lines[0] == "// @ts-check" else 0])
