"""The product over real servers, as one history has it; emptied between histories rather than made anew."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import redis
from psycopg import sql

from lambda_pipeline.batch.generation import Generation, published
from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.database import Database, reason
from lambda_pipeline.errors import LambdaPipelineError, QueryFailedError
from lambda_pipeline.serving import Serving
from lambda_pipeline.serving.merge import with_views
from lambda_pipeline.serving.read import OpenRead, open_batch, open_live, open_source
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import SnapshotMark
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poll, Poller
from lambda_pipeline.views import View, compile_view
from lambda_pipeline_tests.model import definitions, pausing
from lambda_pipeline_tests.model.hapi import Hapi
from lambda_pipeline_tests.model.oracle import Row, Rows
from lambda_pipeline_tests.model.servers import Servers
from lambda_pipeline_tests.model.steps import Setup

NOBODY = "unix:///nonexistent/model.sock"
CHILD = "model-child"
REDIS_TIMEOUT_S = 0.2
EVICT_ABOVE_BYTES = 2_000
OLDEST_STAMP_S = 1500.0
"""Ten minutes late on a clock that is ten minutes behind, and some more."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was served in one snapshot.

    Attributes:
        mode: how it was asked.
        frontier: what it claims to show.
        batch: the mark of the generation.
        digests: of the definition of each view in it.
        columns: of each view.
        rows: of each view.
        cohort: ids; None where the generation lacks one of its views.
        unreadable: views and resources that it says are missing.
        sources: where it says rows come from.
    """

    mode: str
    frontier: SnapshotMark
    batch: SnapshotMark | None
    digests: Mapping[str, str]
    columns: Mapping[str, Sequence[str]]
    rows: Mapping[str, Rows]
    cohort: set[str] | None
    unreadable: set[tuple[str, str]]
    sources: tuple[str, ...]


class World:
    """HAPI, batch, overlay and serving over one database.

    Args:
        servers: where.
        database_url: an empty database.
    """

    def __init__(self, servers: Servers, database_url: str) -> None:
        self.servers = servers
        self.url = database_url
        self.hapi = Hapi(Database(database_url, application_name="model-hapi"))
        self.database = Database(database_url, application_name="model-product", pool_size=10)
        self.admin = psycopg.connect(database_url, autocommit=True)
        self.redis: Any = redis.Redis.from_url(servers.redis_url, decode_responses=True)
        self.compiled = [
            tuple(compile_view(definition) for definition in deployed.values()) for deployed in definitions.DEPLOYMENTS
        ]
        self.by_digest = {
            view.digest: definition
            for views, deployed in zip(self.compiled, definitions.DEPLOYMENTS, strict=True)
            for view, definition in zip(views, deployed.values(), strict=True)
        }
        pausing.install()

    def reset(self, setup: Setup) -> None:
        """Everything empty, and the product with the settings of a new history."""
        self.hapi.reset()
        self.settings = Settings(
            poll_page_rows=setup.page_rows,
            build_chunk_rows=setup.chunk_rows,
            read_source_on_gap=setup.read_source,
            overlay_max_entries=setup.budget,
            exact_scan_max_rows=0 if setup.ranged else 2_000_000,
            sweep_interval_s=3600.0,
            poll_overlap_s=OLDEST_STAMP_S,
            pool_size=10,
            redis_timeout_s=REDIS_TIMEOUT_S,
            # A refresh that is held up goes on when a later step says so: another one must not wait for it.
            refresh_lock_timeout_s=0.0,
        )
        self.deployed = 0
        self._overlay = Overlay(self.servers.redis_url, self.settings)
        self._nowhere = Overlay(NOBODY, self.settings)
        self.mend()
        self.redis.flushall()
        self.admin.execute(_EMPTY)

    def close(self) -> None:
        """Give all connections back."""
        self.hapi.reset()
        for database in (self.hapi.demo.database, self.database):
            database.close()
        self.admin.close()

    def deploy(self, number: int) -> None:
        """Have the product work with these definitions from now on."""
        self.deployed = number
        self._wire()

    def reach(self, *, down: bool) -> None:
        """Whether Redis can be reached."""
        self.down = down
        self._wire()

    def fill(self, *, on: bool) -> None:
        """Whether Redis refuses whatever needs memory."""
        self.redis.config_set("maxmemory-policy", "noeviction")
        self.redis.config_set("maxmemory", int(on))
        self.full, self.evicting = on, False

    def evict(self, *, on: bool) -> None:
        """Whether Redis evicts: whenever it has more than a little above what it has now."""
        used = self.redis.info("memory")["used_memory"]
        self.redis.config_set("maxmemory-policy", "allkeys-random" if on else "noeviction")
        self.redis.config_set("maxmemory", used + EVICT_ABOVE_BYTES if on else 0)
        self.full = self.evicting = on

    def mend(self) -> None:
        """Have Redis work again, with whatever it still has."""
        self.evict(on=False)
        self.reach(down=False)
        self.slow = False

    @property
    def in_trouble(self) -> bool:
        """Whether Redis may refuse, or not answer."""
        return self.down or self.full or self.slow

    @contextlib.contextmanager
    def slowed(self) -> Iterator[None]:
        """Redis answers nobody for longer than the product waits; what it was sent meanwhile, it does afterwards."""
        self.redis.client_pause(int(REDIS_TIMEOUT_S * 3000))
        self.slow = True
        try:
            yield
        finally:
            self.redis.ping()
            self.slow = False

    def _wire(self) -> None:
        self.views: tuple[View, ...] = self.compiled[self.deployed]
        self.overlay = self._nowhere if self.down else self._overlay
        self.poller = Poller(self.database, self.overlay, self.views, self.settings)
        self.serving = Serving(self.database, self.overlay, self.views, self.settings)

    def action(self, kind: str, database: Database | None = None) -> Callable[[], Any]:
        """One call of the product, with everything as it is deployed now."""
        database = database or self.database
        views, settings, overlay = self.views, self.settings, self.overlay
        if database is not self.database:
            overlay = Overlay(NOBODY if self.down else self.servers.redis_url, settings)
        capture = Poller(database, overlay, views, settings)

        def prune() -> int:
            try:
                with database.connect() as connection:
                    generation = published(connection)
            except psycopg.Error as error:
                raise QueryFailedError(reason(error)) from error
            return overlay.prune(generation.number, generation.mark).forgotten if generation else 0

        actions: dict[str, Callable[[], Any]] = {
            "poll": capture.poll,
            "refresh": lambda: refresh(database, views, settings),
            "rebuild": lambda: refresh(database, views, settings, full=True),
            "prune": prune,
            "query": self._query,
        }
        return actions[kind]

    def _query(self) -> Observation:
        try:
            return self.observe("live")
        except psycopg.Error as error:
            raise QueryFailedError(reason(error)) from error

    def poll(self) -> Poll:
        polled: Poll = self.action("poll")()
        return polled

    def refresh(self, *, full: bool = False) -> Generation:
        made: Generation = self.action("rebuild" if full else "refresh")()
        return made

    def observe(self, mode: Any, names: Sequence[str] | None = None) -> Observation:
        """All views and the cohort, in one snapshot, as the product serves them."""
        if names is None:
            generation = self.serving.generation()
            names = sorted(generation.views) if generation else ["people"]
        with self._layers(mode, names) as layers:
            columns = {name: [column.name for column in layer.view.columns] for name, layer in layers.inputs.items()}
            parts = [
                sql.SQL("SELECT {name}, to_jsonb(v) FROM {view} v").format(
                    name=sql.Literal(name), view=sql.Identifier(name)
                )
                for name in names
            ]
            asked = set(names) >= definitions.COHORT_VIEWS
            if asked:
                parts.append(sql.SQL("SELECT '', to_jsonb(c) FROM ({}) c").format(sql.SQL(definitions.COHORT)))
            merged = with_views(layers.inputs.values())
            statement = sql.Composed([merged.text, sql.SQL(" UNION ALL ").join(parts)])
            found = layers.connection.execute(statement, merged.parameters).fetchall()
            rows: dict[str, Rows] = {name: Counter() for name in names}
            members = set()
            for name, row in found:
                if name:
                    rows[name][_row(row, columns[name])] += 1
                else:
                    members.add(row["id"])
            return Observation(
                mode=mode,
                frontier=layers.frontier,
                batch=layers.generation.mark if layers.generation else None,
                digests={name: layer.view.digest for name, layer in layers.inputs.items()},
                columns=columns,
                rows=rows,
                cohort=members if asked else None,
                unreadable={(one.view, one.resource) for one in layers.quarantined},
                sources=layers.sources,
            )

    def _layers(self, mode: Any, names: Sequence[str]) -> AbstractContextManager[OpenRead]:
        overlay = self.overlay
        if mode == "live":
            return open_live(self.database, overlay, self.settings, names, freshness_target_s=None)
        if mode == "batch":
            return open_batch(self.database, self.settings, names)
        return open_source(self.database, self.settings, self.serving.views, names)

    def killed(self, kind: str, at: int) -> str:
        """Run one call in a process that dies at its n-th point; returns what else became of it, empty if nothing.

        The child is forked, with connections of its own; PostgreSQL is given the time to notice its death.
        """
        child = os.fork()
        if child == 0:
            code = 3
            with contextlib.suppress(BaseException):
                code = self._child(kind, at)
            os._exit(code)
        _, status = os.waitpid(child, 0)
        deadline = time.monotonic() + 30
        while self.admin.execute(_CHILDREN, {"name": CHILD}).fetchone() != (0,):
            if time.monotonic() > deadline:
                raise TimeoutError("the child's connection stays")
            time.sleep(0.002)
        if os.WIFSIGNALED(status):
            return ""
        return {0: "", 1: "", 2: "failed in an undocumented way"}.get(os.WEXITSTATUS(status), "could not run")

    def _child(self, kind: str, at: int) -> int:
        database = Database(self.url, application_name=CHILD)
        action = self.action(kind, database)
        with pausing.observed(pausing.Killer(at).point):
            try:
                action()
            except LambdaPipelineError:
                return 1
            except Exception:  # noqa: BLE001 (its kind is the answer)
                return 2
        return 0

    def cut(self, backends: Sequence[int] | None = None) -> None:
        """End the product's database connections: these, or all."""
        if backends is None:
            self.admin.execute(_CUT_ALL, {"name": "model-product"})
        else:
            self.admin.execute("SELECT pg_terminate_backend(pid) FROM unnest(%(pids)s::int[]) pid", {"pids": backends})

    def restart_redis(self, *, persist: bool) -> None:
        self.servers.restart_redis(persist=persist)

    def stored_keys(self) -> list[str]:
        """All keys of Redis."""
        return sorted(self.redis.keys("*"))


def _row(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    return tuple(_value(row[name]) for name in columns)


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(sorted(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value


_CHILDREN = "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = %(name)s"

_CUT_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE application_name = %(name)s AND datname = current_database()"""

_EMPTY = """
DROP SCHEMA IF EXISTS sqlonfhir CASCADE;
TRUNCATE hfj_resource, hfj_res_ver, hfj_res_tag, hfj_history_tag CASCADE"""
