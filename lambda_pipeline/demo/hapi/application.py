"""The state of one application server: clock, time zone, behaviour, and the keys and tags that it has read.

What a request does belongs in `transaction`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from psycopg import sql

from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.numbers import Numbers
from lambda_pipeline.demo.hapi.tags import Tag, TagType

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class ApplicationServer:
    """One application server over HAPI's tables; several may share a database.

    Args:
        database: the database with the tables.
        clock: the application server's clock; returns UTC-aware times, which may be skewed or step back.
        zone: default zone of the server's JVM; timestamps are stored as local time without zone.
        history: False as with `resource_dbhistory_enabled: false`: one version row per resource, changed in place.
        referential_integrity: refuse to delete a resource that another one refers to (HAPI's default).
        partition: PARTITION_ID of all written rows.
    """

    def __init__(
        self, database: Database, *, clock: Clock = system_clock, zone: tzinfo = UTC, history: bool = True,
        referential_integrity: bool = True, partition: int | None = None,
    ) -> None:  # fmt: skip
        self.database = database
        self.clock = clock
        self.zone = zone
        self.history = history
        self.referential_integrity = referential_integrity
        self.partition = partition
        self.numbers = Numbers()
        self._types: dict[str, int] = {}
        self._tags: dict[int, Tag] = {}
        self._tag_ids: dict[Tag, int] = {}

    def now(self) -> datetime:
        """The server's time as it is stored: in milliseconds, local to the server's zone, without zone."""
        return self.to_stored(self.clock())

    def to_stored(self, moment: datetime) -> datetime:
        """A UTC-aware moment as RES_UPDATED holds it."""
        if moment.tzinfo is None:
            raise ValueError("the moment has no time zone")
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        return local - timedelta(microseconds=local.microsecond % 1000)

    def type_id(self, resource_type: str) -> int | None:
        """RES_TYPE_ID, from HFJ_RESOURCE_TYPE."""
        if not self._types:
            with self.database.connect() as connection:
                self._types = dict(connection.execute("SELECT res_type, res_type_id FROM hfj_resource_type").fetchall())
        return self._types.get(resource_type)

    def tag(self, tag_id: int) -> Tag:
        """The tag of a TAG_ID."""
        if tag_id not in self._tags:
            self._read_tags()
        return self._tags[tag_id]

    def tag_id(self, tag: Tag) -> int:
        """TAG_ID of a tag; a new tag is committed at once in a transaction of its own, as in HAPI."""
        if tag not in self._tag_ids:
            self._read_tags()
        if tag not in self._tag_ids:
            with self.database.connect() as connection:
                (key,) = self.numbers.take(connection, "seq_tagdef_id")
                connection.execute(
                    "INSERT INTO hfj_tag_def (tag_id, tag_type, tag_system, tag_code, tag_version, tag_user_selected)"
                    " VALUES (%(key)s, %(type)s, %(system)s, %(code)s, %(version)s, %(selected)s)",
                    {
                        "key": key, "type": int(tag.type), "system": tag.system, "code": tag.code,
                        "version": tag.version, "selected": tag.user_selected,
                    },
                )  # fmt: skip
            self._tag_ids[tag], self._tags[key] = key, tag
        return self._tag_ids[tag]

    def _read_tags(self) -> None:
        with self.database.connect() as connection:
            rows = connection.execute(
                sql.SQL(
                    "SELECT tag_id, tag_type, tag_system, tag_code, tag_version, tag_user_selected FROM hfj_tag_def"
                )
            ).fetchall()
        self._tags = {key: Tag(TagType(tag_type), *rest) for key, tag_type, *rest in rows}
        self._tag_ids = {tag: key for key, tag in self._tags.items()}
