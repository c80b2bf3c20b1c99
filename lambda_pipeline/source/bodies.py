"""Bodies of resources: how HAPI stores their text, how one is read, and how the text becomes jsonb.

Which rows of HAPI's tables belong to a resource is decided in `tables.py`; running a view over bodies in `flatten.py`.
The argument: docs/guarantees.md, "One bad resource stops only itself".
"""

import gzip
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from lambda_pipeline.database import Connection, fetch_one
from lambda_pipeline.source.keys import ResourceKey


@dataclass(frozen=True, slots=True)
class Body:
    """A resource whose text was read outside the bulk path.

    Attributes:
        res_id: HAPI's primary key.
        key: its identity.
        version: the version that the text is of.
        last_updated: HAPI's timestamp.
        meta_source: `meta.source` of that version; None when there is none.
        text: JSON.
    """

    res_id: int
    key: ResourceKey
    version: int
    last_updated: datetime
    meta_source: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A resource that has no rows because it cannot be read.

    Attributes:
        res_id: HAPI's primary key.
        key: its identity.
        version: the version that cannot be read.
        sqlstate: of PostgreSQL's error; empty when the body could not be fetched at all.
        reason: a sentence for people; never contains a value of the resource.
    """

    res_id: int
    key: ResourceKey
    version: int
    sqlstate: str
    reason: str


class UnreadableBodyError(Exception):
    """The body cannot be read; the message is the `reason` of an `Unreadable`."""


def read_body(connection: Connection, encoding: str | None, text: str | None, large_object: int | None) -> str:
    """Read the JSON text of one version row.

    Args:
        connection: in the snapshot that showed the row; a large object is read in a savepoint.
        encoding: `res_encoding`; None when the resource has no version row.
        text: `res_text_vc`.
        large_object: `res_text`, the oid of a large object, which HAPI 6.10 and older wrote.

    Raises:
        UnreadableBodyError: there is no body, or it cannot be read.
    """
    if encoding is None:
        raise UnreadableBodyError("the resource has no version row")
    if encoding == "DEL":
        raise UnreadableBodyError("the newest version row is a delete, the resource row is not")
    if encoding not in ("JSON", "JSONC"):
        where = "outside the database" if encoding == "ESR" else "in an unknown encoding"
        raise UnreadableBodyError(f"the body is stored {where} ({encoding})")
    if text is not None and encoding == "JSON":
        if not text.startswith("{"):
            raise UnreadableBodyError("the body is not a JSON object")
        return text
    if large_object is None:
        raise UnreadableBodyError("the version row has no body")
    try:
        with connection.transaction():
            (data,) = fetch_one(connection, "SELECT lo_get(%(oid)s::oid)", {"oid": large_object})
    except psycopg.errors.InsufficientPrivilege:
        raise UnreadableBodyError("this role may not read HAPI's large objects (see docs/hapi.md)") from None
    except psycopg.errors.UndefinedObject:
        raise UnreadableBodyError("the large object of the body is missing") from None
    try:
        return (gzip.decompress(data) if encoding == "JSONC" else bytes(data)).decode()
    except (OSError, EOFError, UnicodeDecodeError):
        raise UnreadableBodyError(f"the large object of the body is not {encoding}") from None


def as_jsonb(text: sql.Composable) -> sql.Composed:
    """Convert a SQL expression, the JSON text of a body, to jsonb; the escape of U+0000 becomes that of U+FFFD.

    HAPI stores the escape of U+0000, although FHIR forbids it; jsonb cannot hold it.
    """
    return sql.SQL(_AS_JSONB).format(text=text)


# An escape has an even number of backslashes before it (group 1): \\u0000 is a backslash followed by u0000.
_AS_JSONB = r"""CASE WHEN strpos({text}, '\u0000') > 0
               THEN regexp_replace({text}, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g') ELSE {text} END::jsonb"""
