"""What a mark speaks of beside a snapshot: which relations HAPI's tables are, and the rules they are read by.

`xmin` tells which rows a snapshot did not see only while the table is the same one: a table that is put in its place
brings rows that every mark has seen. A time zone, and this code, decide values too. So marks carry an identity, and
marks of different identities tell nothing of each other's rows.

The argument: docs/guarantees.md, "Snapshots order everything". How marks are ordered stands in `snapshot.py`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote
from weakref import WeakKeyDictionary

from lambda_pipeline.database import Connection, fetch_one
from lambda_pipeline.settings import Settings
from lambda_pipeline.source.relations import Relation

READER = 3
"""Version of the rules by which rows are read (`tables.py`, `bodies.py`) and keys are recorded (`inventory.py`).

It is counted up when one changes a value.
"""


@dataclass(frozen=True, slots=True)
class HapiSource:
    """Where HAPI's tables are in a database, and how their timestamps are read.

    Attributes:
        schema: the PostgreSQL schema of the tables.
        timezone: zone of HAPI's JVM, an IANA name.
    """

    schema: str
    timezone: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As configured."""
        return cls(settings.hapi_schema, settings.source_timezone)


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Everything that decides the rows of a view beside the content of HAPI's tables and the view's definition.

    Attributes:
        relations: digest over oid, kind and used columns of HAPI's tables and of their partitions.
        reader: `READER` of the code that read them.
        zone_rules: digest over the server's rules of the zone; empty for UTC.
        schema: PostgreSQL schema of HAPI's tables.
        timezone: zone in which HAPI's timestamps are read.
    """

    relations: str
    reader: int
    zone_rules: str
    schema: str
    timezone: str

    def __str__(self) -> str:
        return f"{self.relations}/{self.reader}/{self.zone_rules}/{quote(self.schema, safe='')}/{self.timezone}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str(identity)`."""
        relations, reader, zone_rules, schema, timezone = text.split("/", 4)
        return cls(relations, int(reader), zone_rules, unquote(schema), timezone)

    def difference(self, now: "SourceIdentity") -> str:
        """What is another one in `now`, as a sentence; empty when nothing is."""
        if self.schema != now.schema:
            return f"LAMBDA_PIPELINE_HAPI_SCHEMA changed from {self.schema} to {now.schema}"
        if self.relations != now.relations:
            return "HAPI's tables, or their partitions or columns, are other ones than before"
        if self.reader != now.reader:
            return "another version of lambda_pipeline reads HAPI's tables in another way"
        if self.timezone != now.timezone:
            return f"LAMBDA_PIPELINE_SOURCE_TIMEZONE changed from {self.timezone} to {now.timezone}"
        if self.zone_rules != now.zone_rules:
            return f"PostgreSQL's rules for the time zone {now.timezone} changed"
        return ""

    def find_change(self, source: HapiSource) -> str:
        """The same where only the settings are known, since no table is read."""
        now = SourceIdentity(self.relations, READER, self.zone_rules, source.schema, source.timezone)
        return self.difference(now)


def identify(connection: Connection, source: HapiSource, relations: Sequence[Relation]) -> SourceIdentity:
    """The identity of the source.

    Args:
        connection: to its database.
        source: as configured.
        relations: from `read_relations`, in a snapshot whose tables are locked.
    """
    digest = hashlib.sha256("\n".join(map(str, relations)).encode()).hexdigest()[:16]
    return SourceIdentity(digest, READER, _zone_rules(connection, source.timezone), source.schema, source.timezone)


_known_rules: WeakKeyDictionary[Connection, dict[str, str]] = WeakKeyDictionary()
"""By connection, since a server process reads the rules of a zone once."""


def _zone_rules(connection: Connection, timezone: str) -> str:
    if timezone == "UTC":
        return ""
    known = _known_rules.setdefault(connection, {})
    if timezone not in known:
        (known[timezone],) = fetch_one(connection, _ZONE_RULES, {"zone": timezone})
    return known[timezone]


# HAPI wrote its first R4 resource after 2011. One moment a day shows every change of an offset.
_ZONE_RULES = """
SELECT left(md5(string_agg((day AT TIME ZONE %(zone)s AT TIME ZONE 'UTC')::text, ',' ORDER BY day)), 8)
  FROM generate_series(timestamp '2011-01-01 12:00', timestamp '2037-12-31 12:00', interval '1 day') AS day"""
