"""The preflight of HAPI's database: the server, the rights of the role, HAPI's tables, and what is in them.

It finds a problem before a refresh or a poll would. Redis does not belong here: see `preflight_redis.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg
from psycopg import sql

from lambda_pipeline.database import LOCK_TIMEOUT_S, Connection, Database, fetch_one, reason, table_locked
from lambda_pipeline.errors import HapiUnavailableError, SourceError
from lambda_pipeline.operations.preflight import Finding, Level
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import HapiSchema, read_schema
from lambda_pipeline.views import View, read_views

OLDEST_POSTGRESQL = 15
TIME_LIMIT_S = 10
"""How long one check of HAPI's tables may take."""
SAMPLE = 10_000
"""Checks that would otherwise read every body read only this many of the newest version rows."""
EXACT_COUNT_BELOW = 1_000_000
CLOCK_TOLERANCE_S = 60.0

_FUNCTIONS = {
    "pg_control_system": "snapshot marks name their database cluster",
    "pg_walfile_name": "snapshot marks name their timeline",
    "pg_logical_emit_message": "a poll cannot publish where HAPI's commits are asynchronous",
}
"""Functions that polls and refreshes call, and what for. A new database lets every role call them."""


def check_hapi(database: Database, settings: Settings, *, missing_tables: Finding | None = None) -> Iterator[Finding]:
    """Check HAPI's database.

    Args:
        database: HAPI's.
        settings: schema, zone, and the folder of the views.
        missing_tables: what to report where HAPI's tables are missing; a failure by default.
    """
    try:
        with database.connect() as connection:
            yield from _check_server(connection, database)
            yield from _check_rights(connection)
            schema: HapiSchema | None = None
            try:
                schema = read_schema(connection, settings.hapi_schema)
            except psycopg.errors.LockNotAvailable:
                busy = table_locked()
                yield Finding(Level.FAIL, "HAPI's tables", busy.message, busy.hint)
            except SourceError as error:
                yield missing_tables or Finding(Level.FAIL, "HAPI's tables", error.message, error.hint)
            if schema is not None:
                yield from _check_tables(connection, schema, settings)
    except HapiUnavailableError as error:
        yield Finding(Level.UNREACHABLE, "PostgreSQL", error.message, error.hint)
    except psycopg.OperationalError as error:
        yield Finding(Level.UNREACHABLE, "PostgreSQL", f"lost the connection to {database.describe()}: {reason(error)}")
    except psycopg.Error as error:
        yield Finding(Level.FAIL, "PostgreSQL", f"{database.describe()} refused a check: {reason(error)}")


def _check_server(connection: Connection, database: Database) -> Iterator[Finding]:
    row = fetch_one(
        connection, "SELECT current_setting('server_version'), current_setting('server_version_num')::integer"
    )
    version, number = row
    if number // 10_000 < OLDEST_POSTGRESQL:
        hint = f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed"
        yield Finding(Level.FAIL, "PostgreSQL", f"{database.describe()} is version {version}", hint)
    else:
        yield Finding(Level.OK, "PostgreSQL", f"{version} ({database.describe()})")
    (standby,) = fetch_one(connection, "SELECT pg_is_in_recovery()")
    if standby:
        yield Finding(Level.FAIL, "primary", "the server is a standby", "point HAPI_DB_URL at the primary")
    (encoding,) = fetch_one(connection, "SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        yield Finding(Level.FAIL, "encoding", f"the database is in {encoding}", "HAPI needs a UTF8 database")


def _check_rights(connection: Connection) -> Iterator[Finding]:
    role, temporary, may_create, exists = fetch_one(connection, _RIGHTS)
    hint = "see sql/roles.sql"
    if exists:
        owned, foreign = fetch_one(connection, _OWNED)
        if foreign or not owned:
            text = (
                f"role {role} cannot write schema sqlonfhir (owned by another role): questions work, refresh does not"
            )
            yield Finding(Level.WARN, "schema sqlonfhir", text, hint)
        else:
            yield Finding(Level.OK, "schema sqlonfhir", f"exists, and role {role} can write it")
    elif may_create:
        yield Finding(Level.OK, "schema sqlonfhir", f"does not exist yet; role {role} may create it")
    else:
        yield Finding(Level.FAIL, "schema sqlonfhir", f"does not exist, and role {role} may not create it", hint)
    if temporary:
        yield Finding(Level.OK, "temporary tables", f"role {role} may create them")
    else:
        yield Finding(
            Level.FAIL, "temporary tables", f"role {role} may not create them: a recompute (mode source) fails", hint
        )
    for function, purpose in _FUNCTIONS.items():
        signature, allowed = fetch_one(connection, _MAY_CALL, {"function": function})
        if not allowed:
            text = f"role {role} may not call it: {purpose}"
            yield Finding(Level.FAIL, f"{function}()", text, f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")


def _check_tables(connection: Connection, schema: HapiSchema, settings: Settings) -> Iterator[Finding]:
    resources = schema.table("hfj_resource")
    yield from _within_time_limit(
        connection, "HAPI's tables", lambda: _describe_tables(connection, schema, settings.hapi_schema)
    )
    if schema.unfilled_fhir_id:
        text = "rows without fhir_id: ids come from hfj_forced_id, and two rows may claim one id"
        yield Finding(Level.WARN, "logical ids", text, "let HAPI's migrator finish the upgrade")
    views = read_views(settings.view_definitions).views if settings.view_definitions.is_dir() else ()
    yield from _within_time_limit(connection, "FHIR version", lambda: _check_versions(connection, schema, views))
    yield from _within_time_limit(connection, "large objects", lambda: _check_large_objects(connection, schema))
    yield from _within_time_limit(connection, "bodies", lambda: _check_nul_characters(connection, schema))
    yield from _within_time_limit(
        connection, "zone", lambda: _check_clock(connection, resources, settings.source_timezone)
    )


def _describe_tables(connection: Connection, schema: HapiSchema, name: str) -> Iterator[Finding]:
    (estimate,) = fetch_one(connection, _ESTIMATE, {"table": f'"{name}".hfj_resource'})
    count = f"about {estimate:,}"
    if estimate < EXACT_COUNT_BELOW:
        (exact,) = fetch_one(connection, sql.SQL("SELECT count(*) FROM {}").format(schema.table("hfj_resource")))
        count = f"{exact:,}"
    yield Finding(Level.OK, "HAPI's tables", f"schema of {_hapi_version(schema)}, {count} resources with deleted ones")


def _hapi_version(schema: HapiSchema) -> str:
    """The oldest HAPI with these columns; a later version may have the same ones."""
    versions = (
        ("8.4 or newer", "hfj_resource", "res_type_id"),
        ("6.8 to 8.2", "hfj_res_ver", "source_uri"),
        ("6.4 to 6.6", "hfj_resource", "fhir_id"),
    )
    return next((f"HAPI {name}" for name, table, column in versions if schema.has(table, column)), "HAPI before 6.4")


def _check_versions(connection: Connection, schema: HapiSchema, views: Sequence[View]) -> Iterator[Finding]:
    """Compare the versions of FHIR that HAPI stored resources in with those that the views of their types are of."""
    if not schema.has("hfj_resource", "res_version"):
        yield Finding(Level.WARN, "FHIR version", "HAPI's tables do not say which version their resources are of")
        return
    statement = sql.SQL(_VERSIONS).format(resources=schema.table("hfj_resource"))
    stored = connection.execute(statement, {"types": sorted({view.resource for view in views})}).fetchall()
    strange = [
        (view, version, count)
        for view in views
        for resource_type, version, count in stored
        if resource_type == view.resource and version not in {known.name for known in view.fhir_versions}
    ]
    for view, version, count in strange:
        versions = " or ".join(map(str, view.fhir_versions))
        said = f"are stored as {version}" if version else "do not say their version"
        text = f"view {view.name} is of {versions}, and {count:,} {view.resource} resources {said}"
        level, hint = (Level.FAIL, "see docs/views.md, Versions of FHIR") if version else (Level.WARN, "")
        yield Finding(level, "FHIR version", text, hint)
    if not strange:
        found = ", ".join(sorted({version for _, version, _ in stored})) or "none yet"
        yield Finding(Level.OK, "FHIR version", f"{found}, as the views state it")


def _check_large_objects(connection: Connection, schema: HapiSchema) -> Iterator[Finding]:
    if not schema.has("hfj_res_ver", "res_text"):
        return
    statement = sql.SQL(_LARGE_OBJECTS).format(
        resources=schema.table("hfj_resource"), versions=schema.table("hfj_res_ver")
    )
    found = connection.execute(statement, {"sample": SAMPLE}).fetchall()
    if not found:
        yield Finding(Level.OK, "large objects", "no current body is stored in one")
        return
    count = f"{len(found):,}{' or more' if len(found) == SAMPLE else ''}"
    try:
        with connection.transaction():
            connection.execute("SELECT lo_get(%(oid)s::bigint::oid, 0, 1)", {"oid": found[0][0]})
    except psycopg.errors.InsufficientPrivilege:
        hint = "connect as their owner, or let HAPI move them: $reindex with optimizeStorage"
        text = f"{count} current bodies are in large objects that this role may not read: they would be quarantined"
        yield Finding(Level.FAIL, "large objects", text, hint)
    except psycopg.errors.UndefinedObject:
        yield Finding(
            Level.WARN, "large objects", f"{count} current bodies are stored in some, and at least one is missing"
        )
    else:
        yield Finding(Level.OK, "large objects", f"{count} current bodies are stored in some, and they can be read")


def _check_nul_characters(connection: Connection, schema: HapiSchema) -> Iterator[Finding]:
    statement = sql.SQL(_NUL_CHARACTERS).format(versions=schema.table("hfj_res_ver"))
    checked, found = fetch_one(connection, statement, {"sample": SAMPLE})
    text = f"{found:,} of the newest {checked:,} versions hold \\u0000"
    yield Finding(Level.OK, "bodies", f"{text}, which is read as U+FFFD" if found else text)


def _check_clock(connection: Connection, resources: sql.Identifier, zone: str) -> Iterator[Finding]:
    name = "LAMBDA_PIPELINE_SOURCE_TIMEZONE"
    try:
        with connection.transaction():
            statement = sql.SQL(
                "SELECT max(res_updated) AT TIME ZONE %(zone)s, clock_timestamp() FROM {}"
            ).format(resources)  # fmt: skip
            newest, now = fetch_one(connection, statement, {"zone": zone})
    except psycopg.errors.InvalidParameterValue:
        yield Finding(
            Level.FAIL,
            "zone",
            f"{name}: PostgreSQL does not know the zone {zone}",
            "use an IANA name, such as Europe/Berlin",
        )
        return
    if newest is None:
        yield Finding(Level.OK, "zone", "HAPI has written nothing yet")
        return
    yield _check_age(newest, now, zone, name)


def _check_age(newest: datetime, now: datetime, zone: str, name: str) -> Finding:
    age = (now - newest).total_seconds()
    if age >= -CLOCK_TOLERANCE_S:
        return Finding(Level.OK, "zone", f"HAPI's newest timestamp, read in {zone}, is {_format_duration(age)} old")
    text = f"HAPI's newest timestamp, read in {zone}, is {_format_duration(-age)} in the future"
    return Finding(Level.FAIL, "zone", text, f"set {name} to the zone of HAPI's JVM, and check its clock")


@contextmanager
def _time_limit(connection: Connection) -> Iterator[None]:
    with connection.transaction():
        connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(TIME_LIMIT_S * 1000)))
        yield


def _within_time_limit(
    connection: Connection, subject: str, check: Callable[[], Iterator[Finding]]
) -> Iterator[Finding]:
    try:
        with _time_limit(connection):
            found = list(check())
    except psycopg.errors.QueryCanceled:
        found = [Finding(Level.WARN, subject, f"the check took more than {TIME_LIMIT_S} s and was stopped")]
    except psycopg.errors.LockNotAvailable:
        found = [Finding(Level.WARN, subject, f"a table was locked for more than {LOCK_TIMEOUT_S} s")]
    yield from found


def _format_duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 0):,.0f} seconds"


_RIGHTS = """
SELECT current_user::text, has_database_privilege(current_database(), 'TEMPORARY'),
       has_database_privilege(current_database(), 'CREATE'), to_regnamespace('sqlonfhir') IS NOT NULL"""

# Arguments differ between versions of PostgreSQL. Of two functions with one name, the one for text is called.
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

_VERSIONS = """
SELECT res_type::text, res_version::text, count(*)
  FROM {resources}
 WHERE res_type = ANY (%(types)s) AND res_deleted_at IS NULL
 GROUP BY 1, 2
 ORDER BY 1, 2"""

_LARGE_OBJECTS = """
SELECT v.res_text::bigint
  FROM {resources} r JOIN {versions} v ON v.res_id = r.res_id AND v.res_ver = r.res_ver
 WHERE v.res_text IS NOT NULL AND v.res_text_vc IS NULL AND r.res_deleted_at IS NULL LIMIT %(sample)s"""

_NUL_CHARACTERS = r"""
SELECT count(*), count(*) FILTER (WHERE strpos(res_text_vc, '\u0000') > 0)
  FROM (SELECT res_text_vc FROM {versions} ORDER BY pid DESC LIMIT %(sample)s) newest"""
