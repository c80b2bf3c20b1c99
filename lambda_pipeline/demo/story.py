"""The story that `lambda-pipeline demo` shows: a hospital, a night, a day, another night, and one question after each.

Every number comes from the system. Each answer is compared with a full recompute, and the story fails if they differ.
What happens in the hospital belongs in `hospital`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import redis
import sqlalchemy as sa
from psycopg import sql

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.console import render
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.day import simulate_day
from lambda_pipeline.demo.hospital.population import populate
from lambda_pipeline.deployment import Deployment, ServerUrls
from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.serving import Answer
from lambda_pipeline.settings import Settings, sql_directory
from lambda_pipeline.speed.poll import Poll
from lambda_pipeline.views import load_views

DATABASE = "lambda_pipeline_demo"
REDIS_DATABASE = 1
"""Database 0 is that of `dev`: the keys of point reads have no prefix, so the two must not share one."""

PrintLine = Callable[[str], None]


class StoryError(LambdaPipelineError):
    """An answer of the demo differs from the recompute, or an expected effect did not occur."""

    code = "demo-failed"


@dataclass(frozen=True, slots=True)
class Moment:
    """The answers to the question at one moment.

    Attributes:
        name: header of the moment's column in the table.
        live: the answer of batch and speed layer merged.
        batch: the answer of the generation alone.
        source: a full recompute from HAPI's tables.
    """

    name: str
    live: Answer
    batch: Answer
    source: Answer

    @property
    def patients(self) -> set[str]:
        """Ids of the patients in the merged answer."""
        return set(self.live.frame["patient_id"])


def question_file() -> Path:
    """The saved query that the story asks."""
    return sql_directory() / "queries" / "male_diabetics.sql"


def run_story(
    postgres_url: str, redis_url: str, settings: Settings, *, patients: int = 1_000, print_line: PrintLine = print
) -> None:
    """Run the story on these servers, in a database that is created for it and dropped at the end.

    Args:
        postgres_url: any database of a server on which databases may be created.
        redis_url: a server whose database 1 the story uses; it is emptied.
        settings: settings of the environment, of which only `home` is used.
        patients: size of the hospital.
        print_line: called with each line of the story.

    Raises:
        StoryError: an answer differs from the recompute, or an expected effect did not occur.
    """
    began = time.monotonic()
    with _open_empty_deployment(postgres_url, redis_url, settings) as deployment:
        demo = DemoHapi(deployment.database)
        _populate_hospital(demo, patients, print_line)
        moments = [_run_first_night(deployment, print_line)]
        moments.append(_run_day(deployment, demo, moments[0], print_line))
        moments.append(_run_next_night(deployment, moments[1], print_line))
    print_line("")
    print_line("Men with diabetes, type 1 or 2, diagnosis not entered in error:")
    print_line("")
    print_line(_format_table(moments))
    print_line("")
    print_line(f"Every answer equals the recompute at its moment. The demo took {time.monotonic() - began:.0f} s.")


def _populate_hospital(demo: DemoHapi, patients: int, print_line: PrintLine) -> None:
    print_line(f"1. The hospital. {patients:,} synthetic patients are stored as a HAPI FHIR server stores them.")
    began = time.monotonic()
    stored = populate(demo, patients=patients)
    seconds = time.monotonic() - began
    print_line(f"   {stored:,} resources in {seconds:.1f} s; not deleted: {_format_counts(_count_resources(demo))}.")


def _run_first_night(deployment: Deployment, print_line: PrintLine) -> Moment:
    print_line("")
    print_line("2. The first night. The nightly job builds every view and publishes them as one generation.")
    print_line(f"   {_format_generation(deployment.refresh())}")
    deployment.poller.poll()
    print_line("   From here on the sensor captures every change in Redis.")
    moment = _ask_question(deployment, "after the night")
    print_line("   The question: which men have diabetes?")
    print_line(f"   The answer: {moment.live.row_count} patients, from generation {moment.live.generation}.")
    return moment


def _run_day(deployment: Deployment, demo: DemoHapi, before: Moment, print_line: PrintLine) -> Moment:
    print_line("")
    print_line("3. The day. In the hospital's server:")
    for event in simulate_day(demo):
        print_line(f"   - {event}")
    print_line("")
    print_line("4. One tick of the sensor, and the same question.")
    print_line(f"   {_format_poll(deployment.poller.poll())}")
    moment = _ask_question(deployment, "during the day")
    added, removed = moment.patients - before.patients, before.patients - moment.patients
    if not (added and removed):
        raise _failure("the day did not change the answer")
    print_line(
        f"   The answer: {moment.live.row_count} patients. The generation alone answers {moment.batch.row_count}:"
    )
    print_line(f"   it lacks {len(added)} patients and still counts {len(removed)} who left.")
    print_line(f"   Added: {_format_patients(added)}.")
    print_line(f"   Removed: {_format_patients(removed)}.")
    rows = _compare_all_views(deployment)
    print_line(f"   All {len(deployment.views)} views equal their recompute, row by row: {rows:,} rows.")
    return moment


def _run_next_night(deployment: Deployment, before: Moment, print_line: PrintLine) -> Moment:
    print_line("")
    print_line("5. The next night. The refresh includes the day's changes, and the overlay drops the covered entries.")
    print_line(f"   {_format_generation(deployment.refresh())}")
    state = deployment.overlay.read_status().state
    entries = state.entry_count if state else 0
    print_line(f"   {entries} entries left in the overlay.")
    if entries:
        raise _failure("the overlay was not pruned")
    moment = _ask_question(deployment, "after the next night")
    if moment.patients != before.patients:
        raise _failure("the refresh changed the answer")
    if moment.batch.row_count != moment.live.row_count:
        raise _failure("the generation lacks changes of the day")
    print_line(f"   The answer: the same {moment.live.row_count} patients; the generation alone now gives it too.")
    return moment


def _ask_question(deployment: Deployment, name: str) -> Moment:
    statement = question_file().read_text(encoding="utf-8")
    serving = deployment.serving
    moment = Moment(
        name,
        live=serving.select(statement, compare=True),
        batch=serving.select(statement, mode="batch"),
        source=serving.select(statement, mode="source"),
    )
    if _count_rows(moment.live) != _count_rows(moment.source):
        raise _failure(f"{name}, the merged answer differs from the recompute")
    return moment


def _compare_all_views(deployment: Deployment) -> int:
    """Compare all rows of every view with a recompute; returns the number of rows."""
    rows = 0
    for view in deployment.views:
        live, source = (deployment.serving.query(view.name, mode=mode) for mode in ("live", "source"))
        if _count_rows(live) != _count_rows(source):
            raise _failure(f"view {view.name} differs from its recompute")
        rows += live.row_count
    return rows


def _count_rows(answer: Answer) -> Counter[tuple[str, ...]]:
    """How often each row occurs: two answers are equal if these are, whatever the order of the rows."""
    return Counter(tuple(map(repr, row)) for row in answer.frame.itertuples(index=False))


def _failure(reason: str) -> StoryError:
    return StoryError(f"the demo failed: {reason}", hint="this is a bug, please report it")


def _format_generation(generation: Generation) -> str:
    seconds = sum(view.seconds for view in generation.views.values())
    rows = sum(view.row_count for view in generation.views.values())
    changed = "" if generation.build_kind == "full" else f" {generation.changes:,} changed resources,"
    return (
        f"Generation {generation.number} ({generation.build_kind}):{changed} {len(generation.views)} views,"
        f" {rows:,} rows, in {seconds:.1f} s."
    )


def _format_poll(poll: Poll) -> str:
    by_type = _format_counts(poll.captured)
    return f"Captured {poll.count:,} changes in {poll.seconds:.1f} s ({by_type}), {poll.deleted:,} of them deletes."


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {resource_type}" for resource_type, count in counts.items())


def _format_table(moments: Sequence[Moment]) -> str:
    counts = [moment.live.counts for moment in moments]
    rows: list[tuple[str, list[str]]] = [
        ("patients", [str(moment.live.row_count) for moment in moments]),
        ("valid_as_of (UTC)", [f"{moment.live.valid_as_of:%Y-%m-%d %H:%M:%S}" for moment in moments]),
        ("sources", [" + ".join(moment.live.sources) for moment in moments]),
        ("batch_count", [str(each.batch_count) if each else "" for each in counts]),
        ("speed_count (overlay entries)", [str(each.speed_count) if each else "" for each in counts]),
        ("overlap_count (over batch rows)", [str(each.overlap_count) if each else "" for each in counts]),
        ("added", [str(each.added) if each else "" for each in counts]),
        ("removed", [str(each.removed) if each else "" for each in counts]),
        ("batch layer alone", [str(moment.batch.row_count) for moment in moments]),
        ("full recompute", [str(moment.source.row_count) for moment in moments]),
    ]
    return render(
        ["", *(moment.name for moment in moments)], [[name, *values] for name, values in rows], right={1, 2, 3}
    )


def _format_patients(patients: set[str]) -> str:
    return ", ".join(f"Patient/{patient}" for patient in sorted(patients))


def _count_resources(demo: DemoHapi) -> dict[str, int]:
    with demo.database.connect() as connection:
        return dict(
            connection.execute(
                "SELECT res_type::text, count(*) FROM hfj_resource WHERE res_deleted_at IS NULL"
                " GROUP BY res_type ORDER BY count(*) DESC, res_type"
            ).fetchall()
        )


class _DefaultSettings(Settings):
    """The defaults: environment variables configure the user's own deployment, not the story's."""

    @classmethod
    def settings_customise_sources(cls, *_settings_class: Any, **sources: Any) -> tuple[Any, ...]:
        return (sources["init_settings"],)


@contextmanager
def _open_empty_deployment(postgres_url: str, redis_url: str, settings: Settings) -> Iterator[Deployment]:
    own_settings = _DefaultSettings(home=settings.home)
    urls = ServerUrls(
        hapi_db=sa.make_url(postgres_url).set(database=DATABASE).render_as_string(hide_password=False),
        redis=_story_redis_url(redis_url),
        embedded_postgres=True,
        embedded_redis=True,
    )
    recreate_database(postgres_url)
    try:
        _empty_redis(urls.redis)
        with Deployment(urls, load_views(own_settings.view_definitions), own_settings) as deployment:
            yield deployment
        _empty_redis(urls.redis)
    finally:
        drop_database(postgres_url)


def _story_redis_url(url: str) -> str:
    if url.startswith("unix:"):
        return f"{url.partition('?')[0]}?db={REDIS_DATABASE}"
    return sa.make_url(url).set(database=str(REDIS_DATABASE)).render_as_string(hide_password=False)


def _empty_redis(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def recreate_database(postgres_url: str) -> None:
    """Create the story's database, empty; one that an interrupted story left is dropped first.

    Raises:
        StoryError: the server refuses.
    """
    drop_database(postgres_url)
    _execute(postgres_url, "CREATE DATABASE {}")


def drop_database(postgres_url: str) -> None:
    """Drop the story's database if it exists, with its open connections.

    Raises:
        StoryError: the server refuses.
    """
    _execute(postgres_url, "DROP DATABASE IF EXISTS {} WITH (FORCE)")


def _execute(postgres_url: str, statement: LiteralString) -> None:
    server = Database(postgres_url)
    try:
        with server.connect() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(DATABASE)))
    except psycopg.Error as error:
        raise StoryError(f"database {DATABASE} cannot be created or dropped: {error}") from None
    finally:
        server.close()
