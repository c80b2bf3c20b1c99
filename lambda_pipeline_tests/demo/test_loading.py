"""Files into the demo source."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.demo.hapi.loading import Loaded, load_files
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import BadDataError
from lambda_pipeline_tests.support.clocks import Rows

PATIENT = {"resourceType": "Patient", "id": "p", "meta": {"tag": [{"system": "s", "code": "a"}]}, "gender": "male"}
CONDITION = {"resourceType": "Condition", "subject": {"reference": "urn:uuid:1f"}}
COUNT = "SELECT count(*) FROM hfj_resource"


def ndjson(path: Path, *lines: Any) -> Path:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_ndjson_plain_and_gzipped(demo: DemoHapi, tmp_path: Path, rows: Rows) -> None:
    plain = ndjson(tmp_path / "a.ndjson", PATIENT, "", {**PATIENT, "id": "q"})
    packed = ndjson(tmp_path / "b.ndjson.gz", {"resourceType": "Patient"})
    seen: list[tuple[str, int]] = []
    assert load_files(demo, [plain, packed], progress=lambda path, count: seen.append((path.name, count))) == {
        plain: Loaded(2), packed: Loaded(1),
    }  # fmt: skip
    assert seen == [("a.ndjson", 2), ("b.ndjson.gz", 1)]
    assert rows(COUNT) == [(3,)]
    assert rows("SELECT count(*), count(DISTINCT tag_id) FROM hfj_res_tag") == [(2, 1)]


def test_bulk_and_single_writes_leave_the_same_rows(demo: DemoHapi, tmp_path: Path, rows: Rows) -> None:
    load_files(demo, [ndjson(tmp_path / "a.ndjson", PATIENT)])
    demo.create({**PATIENT, "id": "q"})
    for table in ("hfj_resource", "hfj_res_ver"):
        keys = ("res_id", "pid", "fhir_id", "res_updated", "res_published")
        statement = f"SELECT to_jsonb(t) FROM {table} t ORDER BY res_id"
        loaded, created = ({k: v for k, v in row.items() if k not in keys} for (row,) in rows(statement))
        assert loaded == created


def test_a_file_loaded_again_changes_nothing_and_a_changed_line_is_an_update(
    demo: DemoHapi, tmp_path: Path, rows: Rows
) -> None:
    file = ndjson(tmp_path / "a.ndjson", PATIENT, {**PATIENT, "id": "q"})
    load_files(demo, [file])
    load_files(demo, [file])
    assert rows("SELECT count(*) FROM hfj_res_ver") == [(2,)]
    load_files(demo, [ndjson(tmp_path / "b.ndjson", {**PATIENT, "gender": "other"}, {**PATIENT, "gender": "female"})])
    assert rows("SELECT fhir_id, res_ver FROM hfj_resource ORDER BY 1") == [("p", 3), ("q", 1)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [("{oops", "not JSON"), ("[]", "a JSON object"), ('{"id":"x"}', "resourceType"),
     ('{"resourceType":"Patient","id":"a b"}', "FHIR id"), ('{"resourceType":"Patient","id":"42"}', "digits"),
     ('{"resourceType":"Patient","birthDate":"1999-02-31"}', "birthDate"), ('{"resourceType":"Bundle"}', "bundle"),
     ('{"resourceType":"Bundle","type":"transaction"}', "no bundle of type 'transaction'"),
     ("[" * 100_000, "nested too deeply"), ('{"resourceType":"Patient', "not JSON"), ("7", "a JSON object")],
)  # fmt: skip
def test_a_malformed_line_is_named_and_the_others_are_loaded(
    demo: DemoHapi, tmp_path: Path, rows: Rows, line: str, reason: str
) -> None:
    bad = ndjson(tmp_path / "bad.ndjson.gz", {**PATIENT, "id": "x"}, line, {**PATIENT, "id": "y"})
    loaded = load_files(demo, [bad])[bad]
    assert loaded.resources == 2
    (problem,) = loaded.bad
    assert problem.startswith("bad.ndjson.gz line 2: ")
    assert reason in problem
    assert rows("SELECT fhir_id FROM hfj_resource ORDER BY 1") == [("x",), ("y",)]


def test_a_line_in_another_encoding_is_named_and_the_others_are_loaded(
    demo: DemoHapi, tmp_path: Path, rows: Rows
) -> None:
    file = ndjson(tmp_path / "a.ndjson", PATIENT)
    file.write_bytes(b'{"resourceType":"Patient","id":"\xe4"}\n' + file.read_bytes())
    assert load_files(demo, [file]) == {file: Loaded(1, bad=("a.ndjson line 1: is not UTF-8",))}
    assert rows(COUNT) == [(1,)]


def test_gzip_is_known_by_its_content(demo: DemoHapi, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "a.ndjson.gz", PATIENT)
    packed = file.rename(tmp_path / "a.ndjson")
    plain = ndjson(tmp_path / "b.ndjson", PATIENT).rename(tmp_path / "b.ndjson.gz")
    assert load_files(demo, [packed, plain]) == {packed: Loaded(1), plain: Loaded(1)}


def test_a_graph_definition_starts_at_a_type(demo: DemoHapi, tmp_path: Path) -> None:
    graph = {"resourceType": "GraphDefinition", "id": "g1", "name": "G", "status": "draft", "start": "Patient"}
    file = ndjson(tmp_path / "a.ndjson", graph, {"resourceType": "Bundle", "type": "collection",
                  "entry": [{"resource": graph}]}, {**PATIENT, "contained": [graph]})  # fmt: skip
    assert load_files(demo, [file]) == {file: Loaded(3)}


def test_a_bundle_in_a_line_is_a_resource(demo: DemoHapi, tmp_path: Path, rows: Rows) -> None:
    bundle = {"resourceType": "Bundle", "id": "b", "type": "collection", "entry": [{"resource": PATIENT}]}
    file = ndjson(tmp_path / "a.ndjson", bundle)
    assert load_files(demo, [file]) == {file: Loaded(1)}
    assert rows("SELECT res_type, fhir_id FROM hfj_resource") == [("Bundle", "b")]
    ((body,),) = rows("SELECT res_text_vc::jsonb FROM hfj_res_ver")
    assert body == {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT}]}


def test_requests_that_only_read_are_counted_apart(demo: DemoHapi, tmp_path: Path) -> None:
    entries = [{"request": {"method": method, "url": "Patient"}} for method in ("GET", "HEAD")]
    write = {"request": {"method": "PUT", "url": "Patient/p"}, "resource": PATIENT}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [*entries, write]}
    file = ndjson(tmp_path / "b.json", bundle)
    assert load_files(demo, [file]) == {file: Loaded(1, reads=2)}


def test_a_truncated_gzip_file_is_named_and_nothing_of_it_is_written(
    demo: DemoHapi, tmp_path: Path, rows: Rows
) -> None:
    file = ndjson(tmp_path / "a.ndjson.gz", *({**PATIENT, "id": f"p{number}"} for number in range(5000)))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(BadDataError, match=r"a\.ndjson\.gz"):
        load_files(demo, [file])
    assert rows(COUNT) == [(0,)]


def test_a_missing_file_is_found_before_the_first_is_loaded(demo: DemoHapi, tmp_path: Path, rows: Rows) -> None:
    file = ndjson(tmp_path / "a.ndjson", PATIENT)
    for other in (tmp_path / "none.ndjson", ndjson(tmp_path / "a.xml", "<Patient/>")):
        with pytest.raises(BadDataError, match=other.name):
            load_files(demo, [file, other])
    assert rows(COUNT) == [(0,)]


@pytest.mark.parametrize("kind", ["transaction", "batch", "collection"])
def test_bundles(demo: DemoHapi, tmp_path: Path, rows: Rows, kind: str) -> None:
    patient: dict[str, Any] = {"fullUrl": "urn:uuid:1f", "resource": {"resourceType": "Patient", "gender": "male"}}
    condition: dict[str, Any] = {"fullUrl": "urn:uuid:2f", "resource": CONDITION}
    if kind != "collection":
        patient["request"] = {"method": "PUT", "url": "Patient/p"}
        condition["request"] = {"method": "POST", "url": "Condition"}
        condition["resource"] = {
            **CONDITION,
            "subject": {"reference": "Patient/p" if kind == "batch" else "urn:uuid:1f"},
        }
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [condition, patient]}
    file = ndjson(tmp_path / "b.json.gz", bundle)
    assert load_files(demo, [file]) == {file: Loaded(2)}
    ((subject,),) = rows(
        "SELECT res_text_vc::jsonb #>> '{subject,reference}' FROM hfj_res_ver WHERE res_type = 'Condition'"
    )
    assert rows("SELECT 'Patient/' || fhir_id FROM hfj_resource WHERE res_type = 'Patient'") == [(subject,)]
    assert subject == ("Patient/1f" if kind == "collection" else "Patient/p")


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        ({"type": "message"}, "message"),
        ({"type": "transaction", "entry": [{"request": {"method": "EAT"}}]}, "entry 1"),
        ({"type": "transaction", "entry": [{"resource": {}, "request": {"method": "PUT", "url": "P/p"}}]}, "entry 1"),
        ({"type": "collection", "entry": [{"resource": PATIENT}, {}]}, "entry 2"),
        ({"type": "collection", "entry": 3}, "list"),
    ],
)
def test_a_malformed_bundle_is_named_and_nothing_is_written(
    demo: DemoHapi, tmp_path: Path, rows: Rows, bundle: dict[str, Any], reason: str
) -> None:
    file = ndjson(tmp_path / "b.json", {"resourceType": "Bundle", **bundle})
    with pytest.raises(BadDataError, match=rf"b\.json.*{reason}"):
        load_files(demo, [file])
    assert rows(COUNT) == [(0,)]


def test_all_of_the_synthea_sample(demo: DemoHapi, shared: Path, rows: Rows) -> None:
    files = sorted((shared / "data" / "synthea").glob("*.ndjson.gz"))
    counts = load_files(demo, files)
    assert {path.name.split(".")[0]: found.resources for path, found in counts.items()} == {
        "Condition": 3_453, "Encounter": 13_594, "MedicationRequest": 3_422, "Observation": 67_619, "Patient": 467,
        "Procedure": 11_054,
    }  # fmt: skip
    assert rows("SELECT count(*) FROM hfj_res_ver WHERE res_text_vc IS JSON OBJECT") == [
        (sum(found.resources for found in counts.values()),)
    ]
