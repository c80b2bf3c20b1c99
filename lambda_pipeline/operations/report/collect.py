"""What the report shows, read once: the status, the last refreshes, the last comparisons, and the sizes of views."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from lambda_pipeline.batch.generation import installed
from lambda_pipeline.database import repeatable_read
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import RedisUnavailableError
from lambda_pipeline.operations.parity_record import ParityRecord, read_parities
from lambda_pipeline.operations.status import PipelineStatus, collect_status
from lambda_pipeline.serving.statement import errors_of_queries

REFRESHES = 30
"""Generations of the history."""


@dataclass(frozen=True, slots=True)
class PastRefresh:
    """One generation of the past.

    Attributes:
        number: of the generation.
        build_kind: `full` or `incremental`.
        published_at: when it was published.
        seconds: from its snapshot to its publication.
        rows: of all its views.
        changes: number of resources that were read again.
        failures: number of views that are not as their files define them.
    """

    number: int
    build_kind: str
    published_at: datetime
    seconds: float
    rows: int
    changes: int
    failures: int


@dataclass(frozen=True, slots=True)
class ViewSize:
    """How large one published view is; the size in bytes counts its table with indexes."""

    view: str
    rows: int
    resources: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows.

    Attributes:
        status: of the deployment.
        refreshes: the last `REFRESHES`, oldest first.
        sizes: of the published views, largest first.
        parities: the last comparison of each view and mode, by view.
        parity_problem: why there are none; empty where they could be read.
    """

    status: PipelineStatus
    refreshes: tuple[PastRefresh, ...]
    sizes: tuple[ViewSize, ...]
    parities: tuple[ParityRecord, ...]
    parity_problem: str = ""


def collect_report(deployment: Deployment) -> Report:
    """Read a deployment; writes nothing.

    Raises:
        HapiUnavailableError: the database cannot be reached.
        SourceError: HAPI's tables are missing or cannot be read.
        QueryFailedError: PostgreSQL ended a statement.
    """
    status = collect_status(deployment)
    refreshes, sizes = _read_generations(deployment)
    parities, problem = _read_parities(deployment)
    return Report(status, refreshes, sizes, parities, problem)


def _read_generations(deployment: Deployment) -> tuple[tuple[PastRefresh, ...], tuple[ViewSize, ...]]:
    with errors_of_queries(), deployment.database.connect() as connection, repeatable_read(connection):
        if not installed(connection):
            return (), ()
        refreshes = connection.cursor(row_factory=class_row(PastRefresh)).execute(_REFRESHES, {"last": REFRESHES})
        sizes = connection.cursor(row_factory=class_row(ViewSize)).execute(_SIZES)
        return tuple(refreshes.fetchall()), tuple(sizes.fetchall())


def _read_parities(deployment: Deployment) -> tuple[tuple[ParityRecord, ...], str]:
    if not deployment.settings.speed_layer:
        return (), "comparisons are kept in Redis, and the speed layer is off"
    try:
        found = read_parities(deployment.overlay)
    except RedisUnavailableError as error:
        return (), error.message
    return tuple(record for _, record in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))), ""


# to_jsonb(g): readers may run before the first refresh that adds the column `failures`.
_REFRESHES = """
SELECT * FROM (
  SELECT g.generation AS number, g.kind AS build_kind, g.published_at,
         extract(epoch FROM g.published_at - g.started_at)::double precision AS seconds,
         (SELECT coalesce(sum(v.row_count), 0) FROM sqlonfhir.generation_view v
           WHERE v.generation = g.generation)::bigint AS rows,
         g.changes,
         (SELECT count(*) FROM jsonb_object_keys(coalesce(to_jsonb(g) -> 'failures', '{}')))::integer AS failures
    FROM sqlonfhir.generation g ORDER BY g.generation DESC LIMIT %(last)s) AS newest
 ORDER BY number"""

_SIZES = """
SELECT view, row_count AS rows, resources,
       coalesce(pg_total_relation_size(to_regclass(format('sqlonfhir.%I', relation))), 0) AS size_bytes
  FROM sqlonfhir.generation_view WHERE generation = (SELECT max(generation) FROM sqlonfhir.generation)
 ORDER BY size_bytes DESC, view"""
