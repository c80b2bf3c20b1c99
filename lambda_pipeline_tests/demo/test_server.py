"""What each request does to HAPI's tables, where the replay of recorded requests does not show it."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.outcome import RequestRefusedError
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.hapi.unusual_rows import lose_version, rewrite_history, write_raw
from lambda_pipeline_tests.support.clocks import Rows, SteppingClock

Versions = Callable[[str], list[tuple[Any, ...]]]

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "male"}
EARLY = datetime(2026, 3, 1, 11, 59, 58, 123456, tzinfo=UTC)


def test_install_leaves_existing_tables_alone(demo: DemoHapi, rows: Rows) -> None:
    demo.create(PATIENT)
    demo.install()
    assert rows("SELECT count(*) FROM hfj_resource") == [(1,)]


def test_an_id_given_by_the_server_is_the_row_key(demo: DemoHapi, rows: Rows) -> None:
    given = demo.create({"resourceType": "Patient"})
    assert rows("SELECT fhir_id, res_id::text FROM hfj_resource") == [(given, given)]


def test_a_client_may_not_choose_digits_only(demo: DemoHapi) -> None:
    with pytest.raises(RequestRefusedError) as refusal:
        demo.update({**PATIENT, "id": "123"})
    assert refusal.value.status == 400


def test_an_update_without_change_writes_nothing(demo: DemoHapi, rows: Rows, versions: Versions) -> None:
    demo.create(PATIENT)
    before = rows("SELECT * FROM hfj_resource")
    outcome = demo.update(PATIENT)
    assert (outcome.version, outcome.status) == (1, 200)
    assert rows("SELECT * FROM hfj_resource") == before
    assert len(versions("p")) == 1


def test_a_rolled_back_transaction_leaves_no_rows_but_its_keys_are_gone(demo: DemoHapi, rows: Rows) -> None:
    transaction = demo.open_transaction()
    lost = transaction.create({"resourceType": "Patient"})
    transaction.rollback()
    assert rows("SELECT * FROM hfj_resource") == []
    assert demo.create({"resourceType": "Patient"}) != lost


def test_a_failing_request_rolls_its_transaction_back(demo: DemoHapi, rows: Rows) -> None:
    def fail() -> None:
        with demo.open_transaction() as transaction:
            transaction.create(PATIENT)
            transaction.create({"resourceType": "Patient", "birthDate": "1970-02-30"})

    with pytest.raises(RequestRefusedError):
        fail()
    assert rows("SELECT * FROM hfj_resource") == []


def test_a_transaction_is_stamped_before_it_begins_and_may_commit_late(
    demo: DemoHapi, rows: Rows, clock: SteppingClock
) -> None:
    late = demo.open_transaction()
    late.create({**PATIENT, "id": "late"})
    clock.advance(seconds=2)
    demo.create({**PATIENT, "id": "early"})
    assert rows("SELECT fhir_id FROM hfj_resource") == [("early",)]
    late.commit()
    assert rows("SELECT fhir_id FROM hfj_resource ORDER BY res_updated") == [("late",), ("early",)]


def test_all_of_a_transaction_shares_one_stamp_in_milliseconds(demo: DemoHapi, rows: Rows) -> None:
    with demo.open_transaction(stamp=EARLY) as transaction:
        transaction.create(PATIENT)
        transaction.create({**PATIENT, "id": "q"})
    assert rows("SELECT DISTINCT res_updated, res_published FROM hfj_resource") == [
        (datetime(2026, 3, 1, 11, 59, 58, 123000), datetime(2026, 3, 1, 11, 59, 58, 123000))  # noqa: DTZ001
    ]


def test_deleted_and_put_in_one_transaction_the_newer_version_has_the_older_stamp(demo: DemoHapi, rows: Rows) -> None:
    demo.create(PATIENT)
    demo.transaction(
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/p"}},
                {"request": {"method": "DELETE", "url": "Patient/p"}},
            ],
        }
    )
    assert rows("SELECT res_ver, res_encoding FROM hfj_res_ver ORDER BY res_updated") == [
        (1, "JSON"), (3, "JSON"), (2, "DEL"),
    ]  # fmt: skip
    assert rows(
        "SELECT r.res_ver, r.res_deleted_at, r.res_updated = v.res_updated FROM hfj_resource r"
        " JOIN hfj_res_ver v USING (res_id, res_ver)"
    ) == [(3, None, True)]


def test_delete_of_a_deleted_or_unknown_resource_writes_nothing(demo: DemoHapi, versions: Versions) -> None:
    demo.create(PATIENT)
    demo.delete("Patient", "p")
    assert [version[:2] for version in versions("p")] == [(1, "JSON"), (2, "DEL")]
    demo.delete("Patient", "p")
    demo.delete("Patient", "nobody")
    assert len(versions("p")) == 2


def test_an_undelete_of_a_tagged_resource_skips_a_number_and_keeps_the_day_of_birth(
    demo: DemoHapi, versions: Versions, rows: Rows
) -> None:
    tagged = {**PATIENT, "meta": {"tag": [{"system": "s", "code": "a"}]}}
    demo.create(tagged)
    published = rows("SELECT res_published FROM hfj_resource")
    demo.delete("Patient", "p")
    assert rows("SELECT res_deleted_at = res_updated, hash_sha256 FROM hfj_resource") == [(True, None)]
    demo.update(tagged)
    assert [version[:2] for version in versions("p")] == [(1, "JSON"), (2, "DEL"), (4, "JSON")]
    assert rows("SELECT res_published FROM hfj_resource") == published
    assert rows("SELECT res_deleted_at, res_ver FROM hfj_resource") == [(None, 4)]


def test_an_undelete_without_tags_takes_the_next_number(demo: DemoHapi, versions: Versions) -> None:
    demo.create(PATIENT)
    demo.delete("Patient", "p")
    demo.update(PATIENT)
    assert [version[0] for version in versions("p")] == [1, 2, 3]


def test_profiles_are_replaced_and_tags_are_kept(demo: DemoHapi, versions: Versions, rows: Rows) -> None:
    demo.create({**PATIENT, "meta": {"profile": ["http://one"], "tag": [{"system": "s", "code": "a"}]}})
    outcome = demo.update({**PATIENT, "meta": {"profile": ["http://two"], "security": [{"system": "s", "code": "R"}]}})
    assert outcome.version == 2
    now = "SELECT tag_type, tag_code FROM hfj_res_tag JOIN hfj_tag_def USING (tag_id) ORDER BY 1, 2"
    assert rows(now) == [(0, "a"), (1, "http://two"), (2, "R")]
    first, second = versions("p")
    assert first[2] == second[2] == '{"resourceType":"Patient","gender":"male"}'
    assert rows("SELECT count(*) FROM hfj_history_tag") == [(5,)]


def test_a_patch_keeps_the_digits_of_decimals(demo: DemoHapi, versions: Versions) -> None:
    text = '{"resourceType":"Observation","valueQuantity":{"value":1.50}}'
    demo.create({**bodies.parse(text), "id": "o"})
    demo.patch(
        "Observation", "o",
        [
            {"op": "test", "path": "/valueQuantity/value", "value": Decimal("1.50")},
            {"op": "add", "path": "/component", "value": [{"valueQuantity": {"value": Decimal("0.10")}}]},
            {"op": "copy", "from": "/valueQuantity", "path": "/component/-"},
        ],
    )  # fmt: skip
    assert versions("o")[1][2].endswith('"component":[{"valueQuantity":{"value":0.10}},{"value":1.50}]}')


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "eat", "path": "/gender"},
        {"op": "remove"},
        {"op": "remove", "path": "gender"},
        {"op": "remove", "path": "/name"},
        {"op": "replace", "path": "/name/0", "value": {}},
        {"op": "replace", "path": "", "value": {}},
        {"op": "copy", "from": "", "path": "/name"},
        {"op": "add", "path": "/gender/0", "value": "m"},
        {"op": "test", "path": "/gender", "value": "female"},
        "remove",
    ],
)
def test_a_patch_that_does_not_apply_is_refused(demo: DemoHapi, versions: Versions, operation: Any) -> None:
    demo.create(PATIENT)
    with pytest.raises(RequestRefusedError, match="JSON patch") as refusal:
        demo.patch("Patient", "p", [operation])
    assert refusal.value.status == 400
    assert "male" not in str(refusal.value)
    assert len(versions("p")) == 1


def test_meta_operations_leave_version_and_stamp(demo: DemoHapi, rows: Rows) -> None:
    demo.create(PATIENT)
    unchanged = "SELECT res_ver, res_updated FROM hfj_resource"
    before = rows(unchanged)
    meta = {"tag": [{"system": "s", "code": "b"}]}
    demo.meta_add("Patient", "p", meta)
    assert rows("SELECT (SELECT count(*) FROM hfj_res_tag), (SELECT count(*) FROM hfj_history_tag)") == [(1, 1)]
    demo.meta_delete("Patient", "p", meta)
    assert rows("SELECT (SELECT count(*) FROM hfj_res_tag), (SELECT count(*) FROM hfj_history_tag)") == [(0, 0)]
    assert rows(unchanged) == before


def test_expunge_leaves_no_row(demo: DemoHapi, rows: Rows) -> None:
    demo.create({**PATIENT, "meta": {"tag": [{"system": "s", "code": "b"}]}})
    demo.delete("Patient", "p")
    demo.expunge("Patient", "p")
    for table in ("hfj_resource", "hfj_res_ver", "hfj_res_tag", "hfj_history_tag"):
        assert rows(f"SELECT * FROM {table}") == []


def test_previous_versions_expunged_the_current_keeps_its_number(demo: DemoHapi, versions: Versions) -> None:
    demo.create(PATIENT)
    demo.update({**PATIENT, "gender": "female"})
    with demo.open_transaction() as transaction:
        transaction.expunge_previous_versions("Patient", "p")
    assert [version[0] for version in versions("p")] == [2]


def test_what_something_refers_to_cannot_be_deleted(demo: DemoHapi, database: Database, versions: Versions) -> None:
    demo.create(PATIENT)
    demo.create({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}})
    with pytest.raises(RequestRefusedError) as refusal:
        demo.delete("Patient", "p")
    assert refusal.value.status == 409
    assert len(versions("p")) == 1
    with demo.open_transaction() as transaction:
        transaction.delete("Patient", "p")
        transaction.delete("Condition", "c")
    assert len(versions("p")) == len(versions("c")) == 2


def test_a_deleted_resource_may_dangle_where_the_server_does_not_check(database: Database, versions: Versions) -> None:
    demo = DemoHapi(database, referential_integrity=False)
    demo.install()
    demo.create(PATIENT)
    demo.create({"resourceType": "Condition", "subject": {"reference": "Patient/p"}})
    demo.delete("Patient", "p")
    assert len(versions("p")) == 2


def test_two_transactions_over_one_resource_conflict(demo: DemoHapi, versions: Versions) -> None:
    demo.create(PATIENT)
    slow = demo.open_transaction()
    current = slow._rows.current("Patient", "p")
    assert current is not None
    demo.update({**PATIENT, "gender": "female"})
    with pytest.raises(RequestRefusedError) as refusal:
        slow._write_change("Patient", "p", current, '{"resourceType":"Patient"}', frozenset())
    slow.rollback()
    assert refusal.value.status == 409
    assert len(versions("p")) == 2


def test_conditional_create_finds_or_makes_or_refuses(demo: DemoHapi) -> None:
    identified = {"resourceType": "Patient", "identifier": [{"system": "http://mrn", "value": "7"}]}
    made = demo.post(identified, if_none_exist="identifier=http://mrn|7")
    found = demo.post(identified, if_none_exist="identifier=http%3A%2F%2Fmrn%7C7")
    assert (made.status, found.status, found.id) == (201, 200, made.id)
    demo.post(identified)
    with pytest.raises(RequestRefusedError) as refusal:
        demo.post(identified, if_none_exist="identifier=7")
    assert refusal.value.status == 412
    with demo.open_transaction() as transaction:
        assert len(transaction.delete_matching("Patient", "identifier=http://mrn|7")) == 2
    assert demo.post(identified, if_none_exist="identifier=http://mrn|7").status == 201


def test_a_bundle_may_refer_in_a_circle_and_by_criteria(demo: DemoHapi, versions: Versions) -> None:
    demo.create({**PATIENT, "identifier": [{"value": "7"}]})
    first, second = demo.transaction(
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "fullUrl": "urn:uuid:a",
                    "resource": {"resourceType": "Encounter", "partOf": {"reference": "urn:uuid:b"}},
                    "request": {"method": "POST", "url": "Encounter"},
                },
                {
                    "fullUrl": "urn:uuid:b",
                    "resource": {
                        "resourceType": "Encounter",
                        "partOf": {"reference": "urn:uuid:a"},
                        "subject": {"reference": "Patient?identifier=7"},
                    },
                    "request": {"method": "POST", "url": "Encounter"},
                },
            ],
        }
    )
    assert (
        versions(first.id)[0][2] == f'{{"resourceType":"Encounter","partOf":{{"reference":"Encounter/{second.id}"}}}}'
    )
    assert '"subject":{"reference":"Patient/p"}' in versions(second.id)[0][2]


def test_history_off_changes_the_one_version_row_in_place(database: Database, rows: Rows, versions: Versions) -> None:
    demo = DemoHapi(database, history=False)
    demo.install()
    demo.create(PATIENT)
    key = rows("SELECT pid FROM hfj_res_ver")
    demo.update({**PATIENT, "gender": "female"})
    assert versions("p") == [(2, "JSON", '{"resourceType":"Patient","gender":"female"}')]
    assert rows("SELECT pid FROM hfj_res_ver") == key


def test_history_rewrite_keeps_the_number_and_moves_the_stamp(demo: DemoHapi, rows: Rows, versions: Versions) -> None:
    demo.create(PATIENT)
    before = rows("SELECT res_updated FROM hfj_resource")
    rewrite_history(demo, {**PATIENT, "gender": "other"}, 1)
    assert versions("p") == [(1, "JSON", '{"resourceType":"Patient","gender":"other"}')]
    assert rows("SELECT res_updated FROM hfj_resource") > before
    assert demo.update({**PATIENT, "gender": "other"}).version == 1


def test_bodies_that_no_reader_expects(demo: DemoHapi, rows: Rows, versions: Versions) -> None:
    write_raw(demo, "Patient", "text", "not JSON")
    write_raw(demo, "Patient", "nul", '{"resourceType":"Patient","language":"\\u0000"}')
    write_raw(demo, "Patient", "external", "provider:address", encoding="ESR")
    write_raw(demo, "Patient", "nothing", None)
    write_raw(demo, "Patient", "object", None, encoding="JSONC", large_object=gzip.compress(b"{}"))
    demo.create(PATIENT)
    write_raw(demo, "Patient", "p", "[]")
    assert versions("text") == [(1, "JSON", "not JSON")]
    assert versions("external") == [(1, "ESR", "provider:address")]
    assert versions("nothing") == [(1, "JSON", None)]
    assert [version[::2] for version in versions("p")] == [(1, '{"resourceType":"Patient","gender":"male"}'), (2, "[]")]
    ((content,),) = rows("SELECT lo_get(res_text) FROM hfj_res_ver WHERE res_encoding = 'JSONC'")
    assert gzip.decompress(content) == b"{}"


def test_the_current_version_may_have_no_row(demo: DemoHapi, rows: Rows, versions: Versions) -> None:
    demo.create(PATIENT)
    demo.update({**PATIENT, "gender": "female"})
    with demo.open_transaction() as transaction:
        lose_version(transaction, "Patient", "p")
    assert [version[0] for version in versions("p")] == [1]
    assert rows("SELECT res_ver FROM hfj_resource") == [(2,)]


def test_stamps_are_local_to_the_server(database: Database, rows: Rows, clock: SteppingClock) -> None:
    demo = DemoHapi(database, clock=clock, zone=ZoneInfo("America/New_York"))
    demo.install()
    demo.create(PATIENT)
    ((stamp,),) = rows("SELECT res_updated FROM hfj_resource")
    assert clock.time.replace(tzinfo=None) - stamp == timedelta(hours=5)


def test_a_nul_stays_an_escape_in_the_text(demo: DemoHapi, versions: Versions) -> None:
    demo.create({**PATIENT, "text": {"status": "generated", "div": "a\x00b"}})
    assert "\\u0000" in versions("p")[0][2]


def test_two_servers_take_keys_in_blocks_of_their_own(database: Database, demo: DemoHapi) -> None:
    other = DemoHapi(database)
    first, second, third = (int(server.create({"resourceType": "Patient"})) for server in (demo, other, demo))
    assert third == first + 1
    assert second >= first + 50


def test_everything_may_live_in_a_partition(database: Database, rows: Rows) -> None:
    demo = DemoHapi(database, partition=3)
    demo.install()
    demo.create({**PATIENT, "meta": {"tag": [{"system": "s", "code": "b"}]}})
    demo.update({**PATIENT, "gender": "female"})
    for table in ("hfj_resource", "hfj_res_ver", "hfj_res_tag", "hfj_history_tag"):
        assert rows(f"SELECT DISTINCT partition_id FROM {table}") == [(3,)]
