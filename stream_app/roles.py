"""What each group role may do to each table and function, and how PostgreSQL is brought in line with that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from threatlog.process.postgres_roles import GATEWAY, READER, ROLES, WRITER

# Every service that asks for API keys: read them, note their use, write down what failed.
_LOOK_UP_KEYS: Final = dict.fromkeys(ROLES, ("SELECT", "UPDATE (last_used_at)"))
_COUNTS: Final = {WRITER: ("SELECT", "INSERT", "UPDATE"), READER: ("SELECT",)}
# Of a dead letter whoever asks with its receipt learns why, not what others sent.
_OF_LETTER: Final = ("topic", "partition", '"offset"', "reason", "detail", "stored_at", "settled_as")
_WHY_DEAD: Final = tuple(f"SELECT ({name})" for name in (*_OF_LETTER, "redriven_partition", "redriven_offset"))
# Of whoever migrates alone.
_NOBODY: Final[Mapping[str, tuple[str, ...]]] = {}

# Every table there is; day partitions are reached through `logs`. Nobody changes or removes an event, a dead letter or
# an entry of the audit log.
TABLES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "logs": {WRITER: ("SELECT", "INSERT"), READER: ("SELECT",)},
    "logs_default": {WRITER: ("SELECT",)},
    "consumer_offsets": {WRITER: ("SELECT", "INSERT", "UPDATE"), READER: ("SELECT",)},
    "partition_starts": {WRITER: ("SELECT", "INSERT", "UPDATE")},
    "log_rollup_minute": _COUNTS,
    "log_rollup_hour": _COUNTS,
    "log_rollup_total": _COUNTS,
    "log_count_minute": _COUNTS,
    "log_count_hour": _COUNTS,
    "log_foreign_ids": {WRITER: ("SELECT", "INSERT"), READER: ("SELECT",)},
    "log_word_filters": {WRITER: ("SELECT", "INSERT", "UPDATE", "DELETE"), READER: ("SELECT",)},
    "dead_letters": {WRITER: ("SELECT", "INSERT"), READER: _WHY_DEAD},
    "offset_gaps": {WRITER: ("SELECT", "INSERT"), READER: ("SELECT",)},
    "retention_drops": {WRITER: ("SELECT",), READER: ("SELECT",)},
    "process_metrics": {WRITER: ("SELECT", "INSERT", "UPDATE", "DELETE"), READER: ("SELECT", "INSERT", "UPDATE")},
    "process_metrics_folded": {WRITER: ("SELECT", "INSERT", "UPDATE", "DELETE"), READER: ("SELECT",)},
    "api_keys": _LOOK_UP_KEYS,
    "audit_log": dict.fromkeys(ROLES, ("INSERT",)),
    "producer_figures": {GATEWAY: ("SELECT", "INSERT", "UPDATE")},
    "producer_duplicates": {GATEWAY: ("SELECT",), WRITER: ("SELECT", "INSERT", "UPDATE")},
    "exports": {READER: ("SELECT", "INSERT", "UPDATE", "DELETE")},
    "export_chunks": {READER: ("SELECT", "INSERT", "UPDATE", "DELETE")},
    "_yoyo_log": _NOBODY,
    "_yoyo_migration": _NOBODY,
    "_yoyo_version": _NOBODY,
    "yoyo_lock": _NOBODY,
}
FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "make_log_day(date)": (WRITER,),
    "lock_default_logs()": (WRITER,),
    "move_log_day(date)": (WRITER,),
}

MISSING_ROLES: Final = "SELECT r FROM unnest(%s::text[]) AS r WHERE to_regrole(r) IS NULL ORDER BY r"

# A role, what it is about, and a right, as GRANT spells them.
GRANTED: Final = """
SELECT r.rolname, 'TABLE ' || quote_ident(c.relname), a.privilege_type
FROM pg_class c CROSS JOIN aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND r.rolname = ANY(%(roles)s)
UNION ALL
SELECT r.rolname, 'TABLE ' || quote_ident(c.relname), a.privilege_type || ' (' || quote_ident(t.attname) || ')'
FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid CROSS JOIN aclexplode(t.attacl) a
JOIN pg_roles r ON r.oid = a.grantee
WHERE c.relnamespace = current_schema()::regnamespace AND r.rolname = ANY(%(roles)s)
UNION ALL
SELECT r.rolname, 'FUNCTION ' || p.oid::regprocedure, a.privilege_type
FROM pg_proc p CROSS JOIN aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
WHERE p.pronamespace = current_schema()::regnamespace AND r.rolname = ANY(%(roles)s)"""

# What everybody has, until somebody takes it from PUBLIC.
GRANTS_AROUND: Final = """
SELECT format('GRANT USAGE ON SCHEMA %%I TO %%I', current_schema(), r) FROM unnest(%(roles)s::text[]) AS r
WHERE NOT has_schema_privilege(r, current_schema(), 'USAGE')
UNION ALL
SELECT format('GRANT %%s ON DATABASE %%I TO %%I', p, current_database(), r)
FROM unnest(%(roles)s::text[]) AS r CROSS JOIN unnest(ARRAY['CONNECT', 'TEMPORARY']) AS p
WHERE NOT has_database_privilege(r, current_database(), p)"""


class Right(NamedTuple):
    """That a role may do something to `target`, such as `TABLE logs`."""

    role: str
    target: str
    privilege: str


def wanted() -> set[Right]:
    """All rights of the group roles."""
    tables = {
        Right(role, f"TABLE {table}", privilege)
        for table, roles in TABLES.items()
        for role, privileges in roles.items()
        for privilege in privileges
    }
    return tables | {
        Right(r, f"FUNCTION {function}", "EXECUTE") for function, roles in FUNCTIONS.items() for r in roles
    }


def changes(granted: set[Right]) -> list[str]:
    """The statements that give what is missing and take what is too much; none where all is right."""
    taken = [f"REVOKE {r.privilege} ON {r.target} FROM {r.role}" for r in sorted(granted - wanted())]
    return taken + [f"GRANT {r.privilege} ON {r.target} TO {r.role}" for r in sorted(wanted() - granted)]
