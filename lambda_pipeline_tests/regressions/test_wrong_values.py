"""Ways to a wrong value without a refusal: another table under the same name, settings, sessions, clocks, columns."""

import copy
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from lambda_pipeline.errors import LambdaPipelineError, RefreshError, SourceError
from lambda_pipeline.operations.preflight import Level
from lambda_pipeline.operations.preflight_hapi import check_hapi
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.support.definitions import PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World


def run(world: World, *statements: str) -> None:
    """Statements of a DBA, each in a transaction of its own."""
    url = world.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def use_updated(world: World) -> None:
    """Patients with the time of their last change, which depends on the zone."""
    view = copy.deepcopy(PATIENTS)
    view["select"][0]["column"].append({"name": "updated", "path": "meta.lastUpdated", "type": "instant"})
    world.use([view])


# ---- the relation that a mark speaks of ------------------------------------------------------------------------------


@pytest.mark.parametrize("refreshed", [False, True])
@pytest.mark.parametrize("table", ["hfj_res_ver", "hfj_resource"])
def test_a_table_swapped_by_rename_is_another_source(published_cohort: World, table: str, refreshed: bool) -> None:
    world = published_cohort
    change = (
        """UPDATE swapped SET res_text_vc = replace(res_text_vc, '"male"', '"other"')"""
        if table == "hfj_res_ver"
        else "UPDATE swapped SET res_deleted_at = now() WHERE fhir_id = 'a'"
    )
    run(
        world,
        f"CREATE TABLE swapped (LIKE {table} INCLUDING ALL)",
        f"INSERT INTO swapped SELECT * FROM {table}",
        change,
    )
    world.refresh()
    world.poll()
    run(world, f"ALTER TABLE {table} RENAME TO old", f"ALTER TABLE swapped RENAME TO {table}")
    if not refreshed:
        assert "are other ones than before: run a refresh first" in world.poll().waiting
        with pytest.raises(LambdaPipelineError, match="other ones than before"):
            world.serving.query("patients", freshness_target_s=1e-9)
    assert world.refresh().build_kind == "full"
    world.poll()
    world.assert_exact()


def test_a_schema_set_to_a_clone_is_another_source(published_cohort: World) -> None:
    world = published_cohort
    tables = ("hfj_resource", "hfj_res_ver", "hfj_res_tag", "hfj_tag_def")
    run(
        world,
        "CREATE SCHEMA clone",
        *(f"CREATE TABLE clone.{table} (LIKE public.{table} INCLUDING ALL)" for table in tables),
        *(f"INSERT INTO clone.{table} SELECT * FROM public.{table}" for table in tables),
        """UPDATE clone.hfj_res_ver SET res_text_vc = replace(res_text_vc, '"male"', '"other"')""",
    )
    world.refresh()
    world.poll()
    world.settings = Settings(hapi_schema="clone")
    world.use([view.definition for view in world.views])
    for mode in ("live", "batch"):
        with pytest.raises(LambdaPipelineError, match="HAPI_SCHEMA changed from public to clone"):
            world.serving.query("patients", mode=mode)
    assert "HAPI_SCHEMA changed from public to clone" in world.poll().waiting
    assert world.refresh().build_kind == "full"
    world.poll()
    world.assert_exact()
    assert world.cohort() == set()


OTHER_RELATIONS = {
    "a view": ("ALTER TABLE hfj_resource RENAME TO kept", "CREATE VIEW hfj_resource AS SELECT * FROM kept"),
    "a materialized view": (
        "ALTER TABLE hfj_resource RENAME TO kept",
        "CREATE MATERIALIZED VIEW hfj_resource AS SELECT * FROM kept",
    ),
    "a foreign table": (
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw",
        "ALTER TABLE hfj_resource RENAME TO kept",
        "CREATE FOREIGN TABLE hfj_resource (res_id bigint, res_type text) SERVER elsewhere",
    ),
    "inherit from it": ("CREATE TABLE child () INHERITS (hfj_resource)",),
    "is not logged": (
        "ALTER TABLE hfj_resource RENAME TO kept",
        "CREATE UNLOGGED TABLE hfj_resource (LIKE kept INCLUDING ALL)",
    ),
    "a partition of public.hfj_res_tag, is a foreign table": (
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw",
        "ALTER TABLE hfj_res_tag RENAME TO kept",
        "CREATE TABLE hfj_res_tag (LIKE kept) PARTITION BY LIST (res_type)",
        "CREATE FOREIGN TABLE far PARTITION OF hfj_res_tag DEFAULT SERVER elsewhere",
    ),
}


@pytest.mark.parametrize("what", OTHER_RELATIONS)
def test_what_is_not_a_table_is_refused_by_check_and_by_every_open(published_cohort: World, what: str) -> None:
    world = published_cohort
    try:
        run(world, *OTHER_RELATIONS[what])
    except psycopg.errors.FeatureNotSupported as error:
        pytest.skip(f"postgres_fdw is not there: {error}")
    for read in (world.refresh, world.poll, lambda: world.serving.query("patients", mode="source")):
        with pytest.raises((SourceError, RefreshError), match=what):
            read()
    found = [finding for finding in check_hapi(world.database, world.settings) if finding.level is Level.FAIL]
    assert any(what in finding.text for finding in found)


def test_rows_hidden_by_row_level_security_are_refused(published_cohort: World) -> None:
    world = published_cohort
    role = f"asker_{world.database.url.database}"
    run(
        world,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT USAGE, CREATE ON SCHEMA sqlonfhir TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA sqlonfhir TO {role}",
        "ALTER TABLE hfj_resource ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY partly ON hfj_resource TO {role} USING (fhir_id <> 'a')",
    )
    try:
        url = world.database.url.set(username=role).render_as_string(hide_password=False)
        with_role = type(world.database)(url)
        world.poller.database = with_role
        with pytest.raises(SourceError, match="row-level security that hides rows from this role"):
            world.poll()
        with_role.close()
    finally:
        run(world, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def partition_tags(world: World) -> None:
    """HAPI's table of tags as a partitioned one with one partition, as HAPI's database partition mode has it."""
    run(
        world,
        "ALTER TABLE hfj_res_tag RENAME TO hfj_res_tag_1",
        "CREATE TABLE hfj_res_tag (LIKE hfj_res_tag_1) PARTITION BY LIST (res_type)",
        "ALTER TABLE hfj_res_tag ATTACH PARTITION hfj_res_tag_1 FOR VALUES IN ('Patient', 'Condition', 'Observation')",
    )


def test_partitions_attached_and_detached_make_another_source(published_cohort: World) -> None:
    world = published_cohort
    partition_tags(world)
    assert world.refresh().build_kind == "full"
    world.poll()
    world.demo.update(patient("d"))
    assert world.poll().captured == {"Patient": 1}
    run(
        world,
        "CREATE TABLE of_devices (LIKE hfj_res_tag_1)",
        "ALTER TABLE hfj_res_tag ATTACH PARTITION of_devices FOR VALUES IN ('Device')",
    )
    assert "other ones than before" in world.poll().waiting
    assert world.refresh().build_kind == "full"
    world.poll()
    run(world, "ALTER TABLE hfj_res_tag DETACH PARTITION of_devices")
    assert "other ones than before" in world.poll().waiting
    assert world.refresh().build_kind == "full"
    world.poll()
    world.assert_exact()


def test_a_partition_attached_during_a_poll_stops_that_poll(
    published_cohort: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = published_cohort
    partition_tags(world)
    world.refresh()
    world.poll()
    run(world, "CREATE TABLE of_devices (LIKE hfj_res_tag_1)")
    read = type(world.poller)._open_read

    def attach_meanwhile(*arguments: object, **options: object) -> object:
        run(world, "ALTER TABLE hfj_res_tag ATTACH PARTITION of_devices FOR VALUES IN ('Device')")
        return read(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(world.poller), "_open_read", attach_meanwhile)
    with pytest.raises(LambdaPipelineError, match="attached or detached meanwhile"):
        world.poll()


# ---- settings that rows depend on ------------------------------------------------------------------------------------


def test_another_time_zone_is_a_full_refresh_and_refused_before_it(empty_world: World) -> None:
    world = empty_world
    use_updated(world)
    world.demo.update(patient("a"))
    world.refresh()
    world.poll()
    world.settings = Settings(source_timezone="Europe/Zurich")
    use_updated(world)
    changed = "LAMBDA_PIPELINE_SOURCE_TIMEZONE changed from UTC to Europe/Zurich"
    assert changed in world.poll().waiting
    for mode in ("live", "batch"):
        with pytest.raises(LambdaPipelineError, match=changed):
            world.serving.query("patients", mode=mode)
    assert world.refresh().build_kind == "full"
    assert world.poll().rebuilt == f"the overlay is of before this: {changed}"
    assert world.rows("patients") == world.rows("patients", "source") == world.rows("patients", "batch")


def test_other_rules_of_a_zone_are_a_full_refresh(make_world: Callable[..., World]) -> None:
    world = make_world(source_timezone="Europe/Zurich")
    use_updated(world)
    world.demo.update(patient("a"))
    world.refresh()
    world.poll()
    # As by a server whose zone database is of another year.
    run(world, "UPDATE sqlonfhir.generation SET mark = regexp_replace(mark, '/[0-9a-f]{8}/public', '/00000000/public')")
    assert "rules for the time zone Europe/Zurich changed" in world.poll().waiting
    assert world.refresh().build_kind == "full"


# ---- sessions --------------------------------------------------------------------------------------------------------

HOSTILE = {
    "client_encoding": "LATIN1",
    "search_path": "hostile, public, pg_catalog",
    "TimeZone": "Pacific/Chatham",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "bytea_output": "escape",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "xmloption": "document",
    "xmlbinary": "hex",
    "default_text_search_config": "pg_catalog.german",
    "timezone_abbreviations": "Australia",
    "gin_fuzzy_search_limit": "1",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
}


@pytest.mark.parametrize("whose", ["DATABASE {database}", "ROLE {role} IN DATABASE {database}"])
def test_hostile_defaults_of_a_session_change_no_value(published_cohort: World, whose: str) -> None:
    world = published_cohort
    use_updated(world)
    world.demo.update(patient("z", name=[{"family": "Łukasz \\ 山"}], birthDate="2001-02-03"))
    target = whose.format(database=world.database.url.database, role=world.database.url.username)
    run(
        world,
        "CREATE SCHEMA hostile",
        "CREATE FUNCTION hostile.left(text, integer) RETURNS text LANGUAGE sql AS $$ SELECT 'hijacked'::text $$",
        *(
            f"ALTER {target} SET {name} = {value if name == 'search_path' else repr(value)}"
            for name, value in HOSTILE.items()
        ),
    )
    world.database.close()
    try:
        assert world.poll().unreadable == 0
        world.refresh()
        world.poll()
        world.demo.update(patient("y", name=[{"family": "Ōe"}]))
        world.poll()
        live, source = world.rows("patients"), world.rows("patients", "source")
        assert live == source
        assert sum(live.values()) == 5
        assert not world.serving.query("patients").quarantined
    finally:
        run(world, f"ALTER {target} RESET ALL")


# ---- clocks and zones ------------------------------------------------------------------------------------------------


def test_ranged_polls_are_right_across_the_end_of_summer_time(make_world: Callable[..., World]) -> None:
    world = make_world(exact_scan_max_rows=0)
    end = datetime.now(UTC) + timedelta(seconds=6)
    local = end + timedelta(hours=2)
    zone = f"AAA-1BBB-2,M1.1.0,M{local.month}.{(local.day - 1) // 7 + 1}.{local.isoweekday() % 7}/{local:%H:%M:%S}"
    world.settings = world.settings.model_copy(update={"source_timezone": zone})
    world.use([PATIENTS])

    def put(logical_id: str, gender: str) -> None:
        now = datetime.now(UTC)
        stamp = now + timedelta(hours=2 if now < end else 1)
        with world.demo.open_transaction(stamp=stamp) as transaction:
            transaction.update(patient(logical_id, gender))

    put("early", "male")
    world.refresh()
    world.poll()
    put("before", "male")
    assert world.poll().count == 1
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds() + 1.5))
    put("early", "female")
    put("after", "female")
    poll = world.poll()
    assert poll.mark
    assert poll.state
    assert poll.state.exact_mark != poll.mark, "the poll has to be a ranged one"
    assert poll.count == 2
    assert world.rows("patients") == world.rows("patients", "source")


# ---- columns of HAPI's tables ----------------------------------------------------------------------------------------


def test_tags_keep_version_and_user_selected_and_source_keeps_the_request(empty_world: World) -> None:
    world = empty_world
    view = copy.deepcopy(PATIENTS)
    view["select"][0]["column"] += [
        {"name": "selected", "path": "meta.tag.where(userSelected = true).code", "collection": True},
        {"name": "versions", "path": "meta.tag.version", "collection": True},
        {"name": "label_versions", "path": "meta.security.version", "collection": True},
        {"name": "said", "path": "meta.tag.where(userSelected.exists()).code", "collection": True},
        {"name": "source", "path": "meta.source", "type": "uri"},
    ]
    world.use([view])
    meta = {
        "tag": [
            {"system": "s", "code": "t1", "version": "v1", "userSelected": True},
            {"system": "s", "code": "t2", "userSelected": False},
            {"system": "s", "code": "t3"},
        ],
        "security": [{"system": "s", "code": "l1", "version": "v2"}],
    }
    world.demo.update(patient("a", meta=meta))
    run(world, "UPDATE hfj_res_ver SET source_uri = 'urn:lab', request_id = 'r1'")
    world.refresh()
    world.demo.update(patient("b", meta=meta))
    run(world, "UPDATE hfj_res_ver SET request_id = 'r2' WHERE source_uri IS NULL")
    world.poll()
    for mode in ("live", "source"):
        frame = world.serving.query("patients", mode=mode).frame.set_index("id")
        for key, source in (("a", "urn:lab#r1"), ("b", "#r2")):
            row = frame.loc[key]
            assert row["selected"] == ["t1"], mode
            assert row["versions"] == ["v1"]
            assert row["label_versions"] == ["v2"]
            assert sorted(row["said"]) == ["t1", "t2"]
            assert row["source"] == source
