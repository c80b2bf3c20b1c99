"""The demo as a story: a hospital, a night, a day, another night, and one question that is asked after each.

Every number that is told comes from the system. What it answers is compared with a full recompute each time, and the
story ends with an error where they differ.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
import sqlalchemy as sa
from psycopg import sql

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.console import render
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hospital.day import a_day
from lambda_pipeline.demo.hospital.population import populate
from lambda_pipeline.deployment import Deployment, ServerUrls
from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.serving import Answer
from lambda_pipeline.settings import Settings, sql_directory
from lambda_pipeline.speed.poll import Poll
from lambda_pipeline.views import load_views

DATABASE = "lambda_pipeline_demo"
REDIS_DATABASE = 1
"""Not 0, where `dev` has its overlay: keys for point reads carry no prefix."""

Say = Callable[[str], None]


class StoryError(LambdaPipelineError):
    """The demo found an answer that differs from the recompute, or did not see what it told."""

    code = "demo-failed"


@dataclass(frozen=True, slots=True)
class Asked:
    """The question, answered three ways at one moment.

    Attributes:
        when: for the table's header.
        live: batch and speed merged.
        batch: the generation alone.
        source: a recompute from HAPI's tables.
    """

    when: str
    live: Answer
    batch: Answer
    source: Answer

    @property
    def patients(self) -> set[str]:
        """Who is in the merged answer."""
        return set(self.live.frame["patient_id"])


def question() -> Path:
    """The saved query that the story asks."""
    return sql_directory() / "queries" / "male_diabetics.sql"


def tell(postgres_url: str, redis_url: str, settings: Settings, *, patients: int = 1_000, say: Say = print) -> None:
    """Tell the story on these servers, in a database that is made for it and dropped at the end.

    Args:
        postgres_url: any database of a server where databases may be created.
        redis_url: a server whose database 1 is the story's; it is emptied.
        settings: of the environment; only `home` counts.
        patients: size of the hospital.
        say: gets the story, line by line.

    Raises:
        StoryError: an answer differs from the recompute.
    """
    began = time.monotonic()
    with _stage(postgres_url, redis_url, settings) as deployment:
        demo = DemoHapi(deployment.database)
        _hospital(demo, patients, say)
        moments = [_night(deployment, say)]
        moments.append(_day(deployment, demo, moments[0], say))
        moments.append(_next_night(deployment, moments[1], say))
    say("")
    say("Men with diabetes, type 1 or 2, diagnosis not entered in error:")
    say("")
    say(_table(moments))
    say("")
    say(f"Every answer equals the recompute at its moment. Told in {time.monotonic() - began:.0f} s.")


def _hospital(demo: DemoHapi, patients: int, say: Say) -> None:
    say(f"1. A hospital. {patients:,} synthetic patients are written the way a HAPI FHIR server stores them.")
    began = time.monotonic()
    stored = populate(demo, patients=patients)
    by_type = ", ".join(f"{count:,} {kind}" for kind, count in _resources(demo).items())
    say(f"   {stored:,} resources in {time.monotonic() - began:.1f} s; alive: {by_type}.")


def _night(deployment: Deployment, say: Say) -> Asked:
    say("")
    say("2. The first night. The nightly job builds every view and publishes them as one generation.")
    _published(deployment.refresh(), say)
    deployment.poller.poll()
    say("   The sensor takes over: from here on it captures every change in Redis.")
    asked = _ask(deployment, "after the night")
    say("   The question: which men have diabetes?")
    say(f"   {asked.live.row_count} patients, as of generation {asked.live.generation}.")
    return asked


def _day(deployment: Deployment, demo: DemoHapi, before: Asked, say: Say) -> Asked:
    say("")
    say("3. The day. In the hospital's server:")
    for event in a_day(demo):
        say(f"   - {event}")
    say("")
    say("4. One tick of the sensor, and the same question.")
    _captured(deployment.poller.poll(), say)
    asked = _ask(deployment, "during the day")
    came, left = asked.patients - before.patients, before.patients - asked.patients
    say(
        f"   {asked.live.row_count} patients. The generation alone says {asked.batch.row_count}:"
        f" it misses {len(came)} of them, and counts {len(left)} who are none."
    )
    say(f"   Came: {_names(came)}.")
    say(f"   Left: {_names(left)}.")
    _expect(bool(came and left), "the day changed nothing")
    rows = _compare_all(deployment)
    say(f"   All {len(deployment.views)} views equal their recompute, row by row: {rows:,} rows.")
    return asked


def _next_night(deployment: Deployment, before: Asked, say: Say) -> Asked:
    say("")
    say("5. The next night. The refresh takes in the day, and the overlay forgets what is covered.")
    generation = deployment.refresh()
    _published(generation, say)
    left = deployment.overlay.read_status()
    entries = left.state.entry_count if left.state else 0
    say(f"   {entries} entries left in the overlay.")
    _expect(not entries, "the overlay was not pruned")
    asked = _ask(deployment, "after the next night")
    _expect(asked.patients == before.patients, "the answer changed over night")
    _expect(asked.batch.row_count == asked.live.row_count, "the generation lacks the day")
    say(f"   {asked.live.row_count} patients, the same ones; now the generation alone says so too.")
    return asked


def _ask(deployment: Deployment, when: str) -> Asked:
    statement = question().read_text(encoding="utf-8")
    serving = deployment.serving
    asked = Asked(
        when,
        live=serving.select(statement, compare=True),
        batch=serving.select(statement, mode="batch"),
        source=serving.select(statement, mode="source"),
    )
    _expect(_multiset(asked.live) == _multiset(asked.source), f"{when}, the merged answer differs from the recompute")
    return asked


def _compare_all(deployment: Deployment) -> int:
    rows = 0
    for view in deployment.views:
        live, source = (deployment.serving.query(view.name, mode=mode) for mode in ("live", "source"))
        _expect(_multiset(live) == _multiset(source), f"view {view.name} differs from its recompute")
        rows += live.row_count
    return rows


def _multiset(answer: Answer) -> Counter[tuple[str, ...]]:
    return Counter(tuple(map(repr, row)) for row in answer.frame.itertuples(index=False))


def _expect(told: bool, otherwise: str) -> None:  # noqa: FBT001 (reads like an assertion, but stays with -O)
    if not told:
        raise StoryError(f"the demo failed: {otherwise}", hint="this is a defect, please report it")


def _published(generation: Generation, say: Say) -> None:
    seconds = sum(view.seconds for view in generation.views.values())
    rows = sum(view.row_count for view in generation.views.values())
    changed = "" if generation.build_kind == "full" else f" {generation.changes:,} changed resources,"
    say(
        f"   Generation {generation.number} ({generation.build_kind}):{changed} {len(generation.views)} views,"
        f" {rows:,} rows, in {seconds:.1f} s."
    )


def _captured(poll: Poll, say: Say) -> None:
    by_type = ", ".join(f"{count:,} {kind}" for kind, count in poll.captured.items())
    say(f"   Captured {poll.count:,} changes in {poll.seconds:.1f} s ({by_type}), {poll.deleted:,} of them deletes.")


def _table(moments: Sequence[Asked]) -> str:
    counts = [asked.live.counts for asked in moments]
    facts: list[tuple[str, list[str]]] = [
        ("patients", [str(asked.live.row_count) for asked in moments]),
        ("valid_as_of (UTC)", [f"{asked.live.valid_as_of:%Y-%m-%d %H:%M:%S}" for asked in moments]),
        ("sources", [" + ".join(asked.live.sources) for asked in moments]),
        ("batch_count", [str(each.batch_count) if each else "" for each in counts]),
        ("speed_count (overlay entries)", [str(each.speed_count) if each else "" for each in counts]),
        ("overlap_count (over batch rows)", [str(each.overlap_count) if each else "" for each in counts]),
        ("added", [str(each.added) if each else "" for each in counts]),
        ("removed", [str(each.removed) if each else "" for each in counts]),
        ("what batch alone says", [str(asked.batch.row_count) for asked in moments]),
        ("what a full recompute says", [str(asked.source.row_count) for asked in moments]),
    ]
    return render(
        ["", *(asked.when for asked in moments)], [[name, *values] for name, values in facts], right={1, 2, 3}
    )


def _names(patients: set[str]) -> str:
    return ", ".join(f"Patient/{patient}" for patient in sorted(patients)) or "nobody"


def _resources(demo: DemoHapi) -> dict[str, int]:
    with demo.database.connect() as connection:
        return dict(
            connection.execute(
                "SELECT res_type::text, count(*) FROM hfj_resource WHERE res_deleted_at IS NULL"
                " GROUP BY res_type ORDER BY count(*) DESC, res_type"
            ).fetchall()
        )


@contextmanager
def _stage(postgres_url: str, redis_url: str, settings: Settings) -> Iterator[Deployment]:
    """A deployment of the story's own, empty."""
    own = _settings(settings)
    urls = ServerUrls(
        hapi_db=sa.make_url(postgres_url).set(database=DATABASE).render_as_string(hide_password=False),
        redis=_redis_url(redis_url),
        embedded_postgres=True,
        embedded_redis=True,
    )
    _drop_database(postgres_url, create=True)
    try:
        _empty(urls.redis)
        with Deployment(urls, load_views(own.view_definitions), own) as deployment:
            yield deployment
        _empty(urls.redis)
    finally:
        _drop_database(postgres_url, create=False)


def _settings(settings: Settings) -> Settings:
    """The defaults, whatever the environment says of the user's own deployment."""
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
        if name != "home"
    }
    return Settings.model_construct(home=settings.home, **defaults)


def _redis_url(url: str) -> str:
    if url.startswith("unix:"):
        return f"{url.partition('?')[0]}?db={REDIS_DATABASE}"
    return sa.make_url(url).set(database=str(REDIS_DATABASE)).render_as_string(hide_password=False)


def _empty(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def _drop_database(postgres_url: str, *, create: bool) -> None:
    maintenance = Database(postgres_url)
    name = sql.Identifier(DATABASE)
    try:
        with maintenance.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            if create:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    except psycopg.Error as error:
        raise StoryError(f"the demo's database cannot be made: {error}") from None
    finally:
        maintenance.close()
