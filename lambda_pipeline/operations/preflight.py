"""The preflight: whether servers, rights and HAPI's tables are what the pipeline needs, before it is needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
import redis
from psycopg import sql

from lambda_pipeline.database import Connection, Database, reason
from lambda_pipeline.errors import (
    ConfigurationError,
    HapiUnavailableError,
    SourceError,
    ViewDefinitionError,
)
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import HapiSchema, read_schema
from lambda_pipeline.views import load_views

OLDEST_POSTGRESQL = 15
LOOK_S = 10
"""How long one look at HAPI's tables may take."""
SAMPLE = 10_000
"""How many of the newest version rows are looked at for what is costly to find."""
EXACT_COUNT_BELOW = 1_000_000
CLOCK_TOLERANCE_S = 60.0

_FUNCTIONS = {
    "pg_control_system": "marks name the cluster that they are of",
    "pg_walfile_name": "marks name the timeline that they are of",
    "pg_logical_emit_message": "a poll cannot publish where HAPI's commits are asynchronous",
}
"""What polls and refreshes call, each by itself granted to everybody, and what for."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the preflight: what was looked at, how it is, and what to do about it."""

    level: Level
    subject: str
    text: str
    hint: str = ""


def check_views(settings: Settings) -> Iterator[Finding]:
    """Whether every view definition compiles."""
    folder = settings.view_definitions
    if not folder.is_dir():
        yield Finding(Level.FAIL, "views", f"{folder} is not a folder", "set LAMBDA_PIPELINE_VIEW_DEFINITIONS")
        return
    try:
        views = load_views(folder)
    except ViewDefinitionError as error:
        for problem in error.problems:
            yield Finding(Level.FAIL, "views", f"{problem.file}: {problem.path}: {problem.reason}", problem.hint)
        return
    if views:
        yield Finding(Level.OK, "views", f"{len(views)} definitions in {folder}")
    else:
        yield Finding(Level.WARN, "views", f"no *.json in {folder}", "add a ViewDefinition")


def check_hapi(database: Database, settings: Settings, *, embedded: bool) -> Iterator[Finding]:
    """HAPI's database: the server, the rights of this role, the tables and what is in them.

    Args:
        database: HAPI's.
        settings: schema and zone.
        embedded: whether it is the embedded demo source, which has no tables before data is put into it.
    """
    try:
        with database.connect() as connection:
            yield from _server(connection, database)
            yield from _rights(connection)
            schema: HapiSchema | None = None
            try:
                schema = read_schema(connection, settings.hapi_schema)
            except SourceError as error:
                yield _without_tables(error, embedded=embedded)
            if schema is not None:
                yield from _tables(connection, schema, settings)
    except HapiUnavailableError as error:
        yield Finding(Level.UNREACHABLE, "PostgreSQL", error.message, error.hint)
    except psycopg.OperationalError as error:
        yield Finding(Level.UNREACHABLE, "PostgreSQL", f"{database.describe()} went away: {reason(error)}")


def check_redis(url: str, settings: Settings) -> Iterator[Finding]:
    """Redis: reachable, writable, and set up so that it forgets nothing."""
    try:
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=settings.redis_timeout_s,
            socket_connect_timeout=settings.redis_timeout_s,
        )
    except ValueError as error:
        raise ConfigurationError(f"REDIS_URL: {error}", hint="redis://host:6379/0 or unix:///path?db=0") from None
    try:
        with client:
            info: dict[str, Any] = dict(client.info())
            yield from _redis_server(info)
            yield from _redis_memory(info)
            yield from _redis_persistence(info)
            yield from _redis_rights(client, f"{settings.redis_prefix}:preflight")
    except (redis.ConnectionError, redis.TimeoutError) as error:
        yield Finding(Level.UNREACHABLE, "Redis", f"cannot be reached: {_first_line(error)}", "check REDIS_URL")
    except redis.RedisError as error:
        yield Finding(
            Level.FAIL, "Redis", _first_line(error), "check the password in REDIS_URL and what its user may do"
        )


def _without_tables(error: SourceError, *, embedded: bool) -> Finding:
    if embedded:
        hint = "run lambda-pipeline dev, or load files with lambda-pipeline load FILE..."
        return Finding(Level.WARN, "HAPI's tables", "the embedded source has no data yet", hint)
    return Finding(Level.FAIL, "HAPI's tables", error.message, error.hint)


def _server(connection: Connection, database: Database) -> Iterator[Finding]:
    row = _row(connection, "SELECT current_setting('server_version'), current_setting('server_version_num')::integer")
    version, number = row
    if number // 10_000 < OLDEST_POSTGRESQL:
        hint = f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed"
        yield Finding(Level.FAIL, "PostgreSQL", f"{database.describe()} is version {version}", hint)
    else:
        yield Finding(Level.OK, "PostgreSQL", f"{version} ({database.describe()})")
    (standby,) = _row(connection, "SELECT pg_is_in_recovery()")
    if standby:
        yield Finding(Level.FAIL, "primary", "the server is a standby", "point HAPI_DB_URL at the primary")
    (encoding,) = _row(connection, "SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        yield Finding(Level.FAIL, "encoding", f"the database is in {encoding}", "HAPI needs a UTF8 database")


def _rights(connection: Connection) -> Iterator[Finding]:
    role, temporary, may_create, exists = _row(connection, _RIGHTS)
    hint = "see sql/roles.sql"
    if exists:
        owned, foreign = _row(connection, _OWNED)
        if foreign or not owned:
            text = f"role {role} may not change schema sqlonfhir, which another role owns: it can read, not refresh"
            yield Finding(Level.WARN, "schema sqlonfhir", text, hint)
        else:
            yield Finding(Level.OK, "schema sqlonfhir", f"there, and role {role} may change it")
    elif may_create:
        yield Finding(Level.OK, "schema sqlonfhir", f"not there yet; role {role} may create it")
    else:
        yield Finding(Level.FAIL, "schema sqlonfhir", f"not there, and role {role} may not create it", hint)
    if temporary:
        yield Finding(Level.OK, "temporary tables", f"role {role} may create them")
    else:
        yield Finding(
            Level.FAIL, "temporary tables", f"role {role} may not create them: a recompute (mode source) fails", hint
        )
    for function, purpose in _FUNCTIONS.items():
        signature, allowed = _row(connection, _MAY_CALL, {"function": function})
        if not allowed:
            text = f"role {role} may not call it: {purpose}"
            yield Finding(Level.FAIL, f"{function}()", text, f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")


def _tables(connection: Connection, schema: HapiSchema, settings: Settings) -> Iterator[Finding]:
    resources = schema.table("hfj_resource")
    yield from _look(connection, "HAPI's tables", lambda: _shape(connection, schema, settings.hapi_schema))
    if schema.unfilled_fhir_id:
        text = "rows without fhir_id: ids come from hfj_forced_id, and two rows may claim one id"
        yield Finding(Level.WARN, "logical ids", text, "let HAPI's migrator finish the upgrade")
    yield from _look(connection, "large objects", lambda: _large_objects(connection, schema))
    yield from _look(connection, "bodies", lambda: _nul_characters(connection, schema))
    yield from _look(connection, "zone", lambda: _clock(connection, resources, settings.source_timezone))


def _shape(connection: Connection, schema: HapiSchema, name: str) -> Iterator[Finding]:
    (estimate,) = _row(connection, _ESTIMATE, {"table": f'"{name}".hfj_resource'})
    count = f"about {estimate:,}"
    if estimate < EXACT_COUNT_BELOW:
        (exact,) = _row(connection, sql.SQL("SELECT count(*) FROM {}").format(schema.table("hfj_resource")))
        count = f"{exact:,}"
    yield Finding(Level.OK, "HAPI's tables", f"schema of {_generation(schema)}, {count} resources with deleted ones")


def _generation(schema: HapiSchema) -> str:
    """The oldest HAPI whose tables look so; later versions may have changed nothing that shows."""
    marks = (
        ("8.4 or newer", "hfj_resource", "res_type_id"),
        ("6.8 to 8.2", "hfj_res_ver", "source_uri"),
        ("6.4 to 6.6", "hfj_resource", "fhir_id"),
    )
    return next((f"HAPI {name}" for name, table, column in marks if schema.has(table, column)), "HAPI before 6.4")


def _large_objects(connection: Connection, schema: HapiSchema) -> Iterator[Finding]:
    if not schema.has("hfj_res_ver", "res_text"):
        return
    statement = sql.SQL(_LARGE_OBJECTS).format(
        resources=schema.table("hfj_resource"), versions=schema.table("hfj_res_ver")
    )
    found = connection.execute(statement, {"sample": SAMPLE}).fetchall()
    if not found:
        yield Finding(Level.OK, "large objects", "no current body lies in one")
        return
    count = f"{len(found):,}{' or more' if len(found) == SAMPLE else ''}"
    try:
        with connection.transaction():
            connection.execute("SELECT lo_get(%(oid)s::bigint::oid, 0, 1)", {"oid": found[0][0]})
    except psycopg.errors.InsufficientPrivilege:
        hint = "connect as their owner, or let HAPI move them: $reindex with optimizeStorage"
        text = f"{count} current bodies lie in large objects that this role may not read: they would be quarantined"
        yield Finding(Level.FAIL, "large objects", text, hint)
    except psycopg.errors.UndefinedObject:
        yield Finding(Level.WARN, "large objects", f"{count} current bodies lie in some, of which some are missing")
    else:
        yield Finding(Level.OK, "large objects", f"{count} current bodies lie in some, and they can be read")


def _nul_characters(connection: Connection, schema: HapiSchema) -> Iterator[Finding]:
    statement = sql.SQL(_NUL_CHARACTERS).format(versions=schema.table("hfj_res_ver"))
    looked, found = _row(connection, statement, {"sample": SAMPLE})
    text = f"{found:,} of the newest {looked:,} versions hold \\u0000"
    yield Finding(Level.OK, "bodies", f"{text}, which is read as U+FFFD" if found else text)


def _clock(connection: Connection, resources: sql.Identifier, zone: str) -> Iterator[Finding]:
    name = "LAMBDA_PIPELINE_SOURCE_TIMEZONE"
    try:
        with connection.transaction():
            statement = sql.SQL(
                "SELECT max(res_updated) AT TIME ZONE %(zone)s, clock_timestamp() FROM {}"
            ).format(resources)  # fmt: skip
            newest, now = _row(connection, statement, {"zone": zone})
    except psycopg.errors.InvalidParameterValue:
        yield Finding(Level.FAIL, "zone", f"{name}: PostgreSQL knows no zone {zone}", "write it like Europe/Berlin")
        return
    if newest is None:
        yield Finding(Level.OK, "zone", "HAPI has written nothing yet")
        return
    yield _age(newest, now, zone, name)


def _age(newest: datetime, now: datetime, zone: str, name: str) -> Finding:
    age = (now - newest).total_seconds()
    if age >= -CLOCK_TOLERANCE_S:
        return Finding(Level.OK, "zone", f"HAPI's newest stamp, read in {zone}, is {_duration(age)} old")
    text = f"HAPI's newest stamp, read in {zone}, lies {_duration(-age)} in the future"
    return Finding(Level.FAIL, "zone", text, f"set {name} to the zone of HAPI's JVM, and check its clock")


def _redis_server(info: dict[str, Any]) -> Iterator[Finding]:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "of unknown version")
    yield Finding(Level.OK, "Redis", f"{name} {version}")
    if info.get("role") not in {None, "master"}:
        yield Finding(Level.FAIL, "Redis role", "the server is a replica", "point REDIS_URL at the primary")
    if info.get("cluster_enabled"):
        hint = "use a server that is not part of a cluster: the overlay is changed by scripts over several keys"
        yield Finding(Level.FAIL, "Redis cluster", "the server is part of a cluster", hint)


def _redis_memory(info: dict[str, Any]) -> Iterator[Finding]:
    policy, limit, used = info.get("maxmemory_policy", "unknown"), info.get("maxmemory", 0), info.get("used_memory", 0)
    bounded = f"{used:,} of {limit:,} bytes used" if limit else f"{used:,} bytes used, no limit"
    if policy == "noeviction":
        yield Finding(Level.OK, "Redis memory", f"{bounded}, policy noeviction")
    else:
        level = Level.FAIL if limit else Level.WARN
        text = f"{bounded}, policy {policy}: entries may be lost, and answers then read HAPI's tables"
        yield Finding(level, "Redis memory", text, "set maxmemory-policy noeviction")


def _redis_persistence(info: dict[str, Any]) -> Iterator[Finding]:
    if info.get("loading"):
        yield Finding(Level.WARN, "Redis persistence", "the server is loading its data", "wait")
    elif info.get("aof_enabled"):
        yield Finding(Level.OK, "Redis persistence", "append-only file")
    else:
        text = "no append-only file: a restart loses changes, and the next poll reads them again from HAPI"
        yield Finding(Level.WARN, "Redis persistence", text, "set appendonly yes")


def _redis_rights(client: "redis.Redis", key: str) -> Iterator[Finding]:
    script = "redis.call('SET', KEYS[1], '1', 'EX', 60); return redis.call('DEL', KEYS[1])"
    try:
        client.eval(script, 1, key)
    except redis.ResponseError as error:
        yield Finding(Level.FAIL, "Redis scripts", _first_line(error), "the overlay is changed by Lua scripts")
    else:
        yield Finding(Level.OK, "Redis scripts", "may be run and may write")


@contextmanager
def _time_limit(connection: Connection) -> Iterator[None]:
    with connection.transaction():
        connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(LOOK_S * 1000)))
        yield


def _look(connection: Connection, subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        with _time_limit(connection):
            found = list(look())
    except psycopg.errors.QueryCanceled:
        found = [Finding(Level.WARN, subject, f"looking took more than {LOOK_S} s and was given up")]
    yield from found


def _row(connection: Connection, statement: Any, parameters: dict[str, Any] | None = None) -> tuple[Any, ...]:
    row = connection.execute(statement, parameters or {}).fetchone()
    assert row is not None
    found: tuple[Any, ...] = row
    return found


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 0):,.0f} seconds"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


_RIGHTS = """
SELECT current_user::text, has_database_privilege(current_database(), 'TEMPORARY'),
       has_database_privilege(current_database(), 'CREATE'), to_regnamespace('sqlonfhir') IS NOT NULL"""

# Arguments differ between versions of PostgreSQL; of two functions of a name the one for text is called.
_MAY_CALL = """
SELECT oid::regprocedure::text, has_function_privilege(oid, 'EXECUTE')
  FROM pg_proc
 WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = %(function)s
   AND NOT 'bytea'::regtype = ANY (proargtypes::oid[])"""

_OWNED = """
SELECT has_schema_privilege('sqlonfhir', 'CREATE'),
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace('sqlonfhir') AND c.relkind IN ('r', 'v')
                  AND NOT pg_has_role(c.relowner, 'MEMBER'))"""

_ESTIMATE = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%(table)s)"

_LARGE_OBJECTS = """
SELECT v.res_text::bigint
  FROM {resources} r JOIN {versions} v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
 WHERE v.res_text IS NOT NULL AND v.res_text_vc IS NULL AND r.res_deleted_at IS NULL LIMIT %(sample)s"""

_NUL_CHARACTERS = r"""
SELECT count(*), count(*) FILTER (WHERE strpos(res_text_vc, '\u0000') > 0)
  FROM (SELECT res_text_vc FROM {versions} ORDER BY pid DESC LIMIT %(sample)s) newest"""
