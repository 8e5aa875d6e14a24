"""The embedded servers: data that survives, and one clear line for what goes wrong."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from threatlog.embedded import (
    KafkaNode,
    KafkaServer,
    PortUnusableError,
    PostgresServer,
    RedisServer,
    Server,
    ServerError,
)
from threatlog.embedded.ports import LOOPBACK, free_port, is_free
from threatlog.embedded.postgres_account import program_folder, reaches, server_account

pytestmark = pytest.mark.integration
READY_S = 60.0

Started = Callable[[Server], Server]


@pytest.fixture
def folder(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = server_folder / re.sub(r"\W+", "-", request.node.name)
    path.mkdir(mode=0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def fresh(server_folder: Path) -> Iterator[Path]:
    """Data folders of Kafka and PostgreSQL, made once."""
    path = server_folder / "fresh"
    path.mkdir(mode=0o711)
    kafka(path).prepare()
    postgres(path).prepare()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def made_folder(folder: Path, fresh: Path) -> Path:
    """A folder that holds copies of them, where it does not matter how they were made."""
    subprocess.run(["cp", "-a", f"{fresh}/.", str(folder)], check=True)
    return folder


@pytest.fixture
def started() -> Iterator[Started]:
    """Starts a server and stops it after the test."""
    servers: list[Server] = []

    def start(server: Server) -> Server:
        servers.append(server)
        server.start()
        server.wait_ready(READY_S)
        return server

    yield start
    for server in servers:
        server.stop()


def kafka(folder: Path) -> KafkaServer:
    rng = random.Random()
    port = free_port(rng)
    return KafkaServer(folder / "kafka", KafkaNode(port, free_port(rng, avoid={port})))


def postgres(folder: Path) -> PostgresServer:
    return PostgresServer(folder / "postgres", free_port(random.Random()))


def redis(folder: Path) -> RedisServer:
    return RedisServer(folder / "redis", free_port(random.Random()))


async def topics(server: Server, *new: str) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.address)
    await admin.start()
    try:
        if new:
            await admin.create_topics([NewTopic(name, 1, 1) for name in new])
        return list(await admin.list_topics())
    finally:
        await admin.close()


async def execute(server: Server, statement: str) -> object:
    connection = await asyncpg.connect(f"postgresql://threatlog@{server.address}/threatlog")
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_kafka_keeps_its_topics_on_other_ports_after_a_crash(made_folder: Path, started: Started) -> None:
    first = started(kafka(made_folder))
    await topics(first, "kept")
    first.kill()
    assert "kept" in await topics(started(kafka(made_folder)))


async def test_postgres_keeps_its_rows_on_another_port_after_a_crash(made_folder: Path, started: Started) -> None:
    first = started(postgres(made_folder))
    await execute(first, "CREATE TABLE kept ()")
    first.kill()
    assert await execute(started(postgres(made_folder)), "SELECT count(*) FROM kept") == 0


async def test_the_user_owns_the_database_without_being_superuser(made_folder: Path, started: Started) -> None:
    server = started(postgres(made_folder))
    assert await execute(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert await execute(server, owner) == "threatlog"


async def test_postgres_starts_beside_a_process_with_its_old_id(made_folder: Path, started: Started) -> None:
    first = started(postgres(made_folder))
    pid_file = made_folder / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    first.kill()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    started(postgres(made_folder))


@pytest.mark.parametrize("make", [kafka, postgres, redis])
def test_a_data_folder_may_have_any_name_that_a_person_gives_it(
    folder: Path, started: Started, make: Callable[[Path], Server]
) -> None:
    odd = folder / "zwei Wörter 数据"
    odd.mkdir(mode=0o711)
    server = started(make(odd))
    server.stop()
    started(make(odd))


@pytest.mark.parametrize(("make", "name"), [(kafka, "kafka/data"), (postgres, "postgres")])
def test_a_data_folder_with_something_else_in_it_is_refused(
    folder: Path, make: Callable[[Path], Server], name: str
) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "something").touch()
    with pytest.raises(ServerError, match=r"is not a whole .* data folder .*; remove it, or choose another DATA_DIR"):
        make(folder).start()


@pytest.mark.parametrize(("make", "name"), [(kafka, "kafka/data"), (postgres, "postgres")])
def test_what_a_killed_first_start_left_is_made_anew(
    folder: Path, started: Started, make: Callable[[Path], Server], name: str
) -> None:
    unfinished = folder / f"{name}.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "half").write_text("written")
    started(make(folder))
    assert not unfinished.exists()


@pytest.mark.parametrize("make", [kafka, postgres, redis])
def test_a_taken_port_is_named(folder: Path, make: Callable[[Path], Server]) -> None:
    server = make(folder)
    with socket.create_server((LOOPBACK, server.port)):
        assert not is_free(server.port)
        with pytest.raises(PortUnusableError, match=f"port {server.port} is taken"):
            server.start()


@pytest.mark.parametrize("make", [kafka, postgres, redis])
def test_a_frozen_server_answers_nothing_until_it_is_thawed(
    made_folder: Path, started: Started, make: Callable[[Path], Server]
) -> None:
    server = started(make(made_folder))
    server.freeze()
    assert server.running
    assert not server.is_ready()
    server.thaw()
    server.wait_ready(READY_S)


def test_a_server_that_ends_while_it_starts_shows_the_end_of_its_log(folder: Path, started: Started) -> None:
    server = started(redis(folder))
    server.child.stop(10)
    with pytest.raises(
        ServerError, match=r"redis ended with code 0; its log \(.*redis\.log\) ends with:\n[^$]*bye bye"
    ):
        server.wait_ready(READY_S)


def test_without_network_the_first_start_of_kafka_says_so_in_one_line(tmp_path: Path) -> None:
    code = "from threatlog.embedded.kafka_jars import kafka_jars; kafka_jars()"
    nowhere = {"HOME": str(tmp_path), "HTTPS_PROXY": f"http://{LOOPBACK}:9", "https_proxy": f"http://{LOOPBACK}:9"}
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **nowhere}, capture_output=True, text=True, check=False
    )
    expected = (
        "Kafka 4.4.0 is not on this machine yet and cannot be downloaded; "
        "the first run needs the network (repo.maven.apache.org cannot be reached)"
    )
    assert result.stderr.splitlines()[-1].endswith(expected)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_runs_postgres_as_an_account_that_reaches_its_programs(folder: Path, started: Started) -> None:
    account = server_account(folder / "postgres")
    assert account is not None
    assert account.uid != 0
    assert reaches(account, program_folder(account) / "postgres")
    started(postgres(folder))
    assert (folder / "postgres").stat().st_uid == account.uid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that the account cannot reach")
async def test_root_may_keep_the_data_where_the_account_cannot_reach_it(folder: Path, started: Started) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    first = started(postgres(closed))
    await execute(first, "CREATE TABLE kept ()")
    first.stop()
    place = (closed / "postgres").resolve()
    try:
        assert place != closed / "postgres"
        again = started(postgres(closed))
        assert await execute(again, "SELECT count(*) FROM kept") == 0
        again.stop()
    finally:
        shutil.rmtree(place)
    with pytest.raises(ServerError, match=f"postgres links to {place}"):
        postgres(closed).start()
