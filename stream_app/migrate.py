"""Creates and upgrades the tables from migrations/*.sql with yoyo, and the rights of the roles; safe to run at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg
import yoyo

from stream_app import roles
from threatlog.process.exit_codes import EXIT_TRY_LATER
from threatlog.process.postgres_connection import libpq_tls
from threatlog.process.postgres_roles import ROLES

if TYPE_CHECKING:
    from threatlog.process.server_settings import Postgres

log = logging.getLogger(__name__)
MIGRATIONS = Path(__file__).parent / "migrations"
# The number only has to be our own.
_ADVISORY_LOCK = 0x7468_7265_6178
# How long to wait for PostgreSQL to come up: as long as a container may take on a slow disk.
WAIT_S = 60.0
# All who store or ask queue behind whoever waits for a lock on their table. In between they have their turn.
_LOCK_TIMEOUT_S = 1.0


def run(settings: Postgres, wait_s: float = WAIT_S, folder: Path = MIGRATIONS) -> int:
    """Applies what is missing and prints it. Returns the exit code.

    0; or 75 when PostgreSQL did not answer, or others were in the way, for `wait_s`. What was applied by then stays.
    """
    try:
        backend = _connect(settings, wait_s)
    except psycopg.OperationalError as error:
        print(f"threatlog: PostgreSQL at {settings.host}:{settings.port} did not answer in {wait_s:.0f} s: {error}")
        return EXIT_TRY_LATER
    migrations = yoyo.read_migrations(str(folder))
    with _alone(backend), backend.lock():
        missing = list(backend.to_apply(migrations))
        if not _applied(backend, missing, time.monotonic() + wait_s):
            return EXIT_TRY_LATER
        with psycopg.connect(_url(settings, "postgresql")) as connection:
            _set_rights(connection, settings.user)
    print(f"applied {', '.join(migration.id for migration in missing)}" if missing else "the tables are up to date")
    return 0


def _applied(backend: yoyo.backends.DatabaseBackend, missing: list[yoyo.migrations.Migration], deadline: float) -> bool:
    """Applies them in order, each in its own transaction. False where others kept a table until the deadline."""
    for migration in missing:
        told = False
        while True:
            try:
                _apply_whole(backend, migration)
                break
            except psycopg.errors.LockNotAvailable:
                if time.monotonic() > deadline:
                    print(f"threatlog: {migration.id} was not applied: others hold a table that it changes; try again")
                    return False
                if not told:
                    print(f"{migration.id} waits for others who hold a table that it changes", flush=True)
                    told = True
                time.sleep(_LOCK_TIMEOUT_S)
    return True


def _apply_whole(backend: yoyo.backends.DatabaseBackend, migration: yoyo.migrations.Migration) -> None:
    """With the note that it is applied, in one transaction. yoyo 9.0 takes two: killed in between, it found its own
    tables in the way ever after.

    Indexes are made without one, so that nobody waits for them: those migrations may be run again, killed anywhere.
    """
    backend.ensure_internal_schema_updated()
    migration.load()
    if not migration.use_transactions:
        with backend.copy() as connected, connected.disable_transactions():
            migration.process_steps(connected, "apply")
    with backend.copy() as connected, connected.transaction():
        if migration.use_transactions:
            migration.process_steps(connected, "apply")
        connected.log_migration(migration, "apply")
        connected.mark_one(migration, log=False)


def _set_rights(connection: psycopg.Connection, user: str) -> None:
    """Makes the group roles where they are missing and may be made, and gives them exactly what the table says."""
    absent = [name for (name,) in connection.execute(roles.MISSING_ROLES, [list(ROLES)])]
    try:
        for name in absent:
            # Roles are of all databases: another one's migration may make them at the same time.
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation), connection.transaction():
                connection.execute(f"CREATE ROLE {name} NOLOGIN".encode())
    except psycopg.errors.InsufficientPrivilege:
        statements = " ".join(f"CREATE ROLE {name} NOLOGIN;" for name in absent)
        print(
            f"the user {user} may not create roles, so that every service has to log in as {user} itself; "
            f"for roles of their own have a superuser run: {statements} and then `threatlog migrate` again"
        )
        return
    asked = {"roles": list(ROLES)}
    granted = {roles.Right(*row) for row in connection.execute(roles.GRANTED, asked)}
    around = [statement for (statement,) in connection.execute(roles.GRANTS_AROUND, asked)]
    for statement in (*around, *roles.changes(granted)):
        connection.execute(statement.encode())


@contextmanager
def _alone(backend: yoyo.backends.DatabaseBackend) -> Iterator[None]:
    """This lock goes with whoever holds it; the row that yoyo 9.0 locks with stays, and locks out all later ones."""
    if not backend.execute("SELECT pg_try_advisory_lock(:lock)", {"lock": _ADVISORY_LOCK}).fetchone()[0]:
        print("waiting for another `threatlog migrate`")
        backend.execute("SET lock_timeout = 0")
        backend.execute("SELECT pg_advisory_lock(:lock)", {"lock": _ADVISORY_LOCK})
    try:
        backend.break_lock()
        yield
    finally:
        backend.connection.close()


def _connect(settings: Postgres, wait_s: float) -> yoyo.backends.DatabaseBackend:
    deadline, told = time.monotonic() + wait_s, ""
    while True:
        try:
            return yoyo.get_backend(_url(settings, "postgresql+psycopg"))
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise
            # A wrong password or certificate does not mend itself: whoever waits should see it at once.
            if (reason := str(error).strip()) != told:
                print(f"waiting for PostgreSQL at {settings.host}:{settings.port}: {reason}", flush=True)
                told = reason
            time.sleep(0.25)


def _url(s: Postgres, scheme: str) -> str:
    # In the address, since yoyo opens a connection of its own for each migration.
    options = libpq_tls(s) | {"options": f"-clock_timeout={_LOCK_TIMEOUT_S * 1000:.0f}"}
    credentials = quote(s.user, safe="")
    if s.password.get_secret_value():
        credentials += ":" + quote(s.password.get_secret_value(), safe="")
    if s.host.startswith("/"):
        options |= {"host": s.host, "port": str(s.port)}
        return f"{scheme}://{credentials}@/{quote(s.database)}?{urlencode(options)}"
    return f"{scheme}://{credentials}@{s.host}:{s.port}/{quote(s.database)}?{urlencode(options)}"
