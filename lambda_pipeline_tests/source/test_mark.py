"""The order of database snapshots."""

from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_pipeline.database import Database
from lambda_pipeline.source import SnapshotMark, marked_snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Server:
    """Transaction numbers as PostgreSQL gives them: snapshots of any history of begins and ends."""

    def __init__(self) -> None:
        self.next = 100
        self.running: set[int] = set()
        self.over: set[int] = set()

    def begin(self) -> None:
        self.running.add(self.next)
        self.next += 1

    def end(self, index: int) -> None:
        if self.running:
            transaction = sorted(self.running)[index % len(self.running)]
            self.running.remove(transaction)
            self.over.add(transaction)

    def snapshot(self) -> tuple[SnapshotMark, frozenset[int]]:
        xmin = min(self.running, default=self.next)
        return SnapshotMark("c", xmin, self.next, frozenset(self.running), NOW), frozenset(self.over)


@given(st.lists(st.one_of(st.just("begin"), st.just("snapshot"), st.integers(0, 5)), max_size=60))
def test_marks_are_ordered_by_what_they_see(history: list[str | int]) -> None:
    server, taken = Server(), []
    for step in history:
        if step == "begin":
            server.begin()
        elif step == "snapshot":
            taken.append(server.snapshot())
        else:
            server.end(int(step))
    for earlier, (mark, seen) in enumerate(taken):
        for later, (other, other_seen) in enumerate(taken):
            assert mark.covered_by(other) == (seen <= other_seen and (earlier <= later or mark.xmax == other.xmax))
            if earlier <= later:
                assert mark.covered_by(other)
                assert mark.later(other) in (mark, other)
                assert other.covered_by(mark.later(other))


@given(
    st.integers(3, 10**18), st.integers(0, 10**6), st.frozensets(st.integers(3, 10**18), max_size=5),
    st.datetimes(timezones=st.just(UTC)),
)  # fmt: skip
def test_a_mark_survives_being_written_down(xmin: int, more: int, running: frozenset[int], taken_at: datetime) -> None:
    mark = SnapshotMark("7/1/5", xmin, xmin + more, running, taken_at)
    assert SnapshotMark.parse(str(mark)) == mark


def test_marks_of_different_clusters_cover_nothing() -> None:
    mark = SnapshotMark("a", 5, 5, frozenset(), NOW)
    assert not mark.covered_by(SnapshotMark("b", 9, 9, frozenset(), NOW))


def test_what_a_real_server_says(database_url: str) -> None:
    database = Database(database_url)
    with database.connect() as first, marked_snapshot(first) as empty:
        pass
    with psycopg.connect(database_url) as writer:
        writer.execute("CREATE TABLE t (n integer)")
        with database.connect() as other:
            other.execute("CREATE TABLE u (n integer)")
        with database.connect() as reader, marked_snapshot(reader) as during:
            seen = reader.execute("SELECT to_regclass('t')").fetchone()
    with database.connect() as reader, marked_snapshot(reader) as after:
        assert reader.execute("SELECT to_regclass('t')").fetchone() != seen
    assert empty.covered_by(during)
    assert during.covered_by(after)
    assert not after.covered_by(during)
    assert during.running
    assert empty.taken_at <= during.taken_at <= after.taken_at
    database.close()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_snapshot_is_one_moment_and_ends(database_url: str, read_only: bool) -> None:
    database = Database(database_url)
    with database.connect() as connection:
        connection.execute("CREATE TABLE t (n integer)")
    with database.connect() as reader, database.connect() as writer:
        with marked_snapshot(reader, read_only=read_only):
            writer.execute("INSERT INTO t VALUES (1)")
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
            if read_only:
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    reader.execute("INSERT INTO t VALUES (2)")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    database.close()
