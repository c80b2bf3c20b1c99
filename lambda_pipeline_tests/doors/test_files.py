"""Files of resources: NDJSON that is broken in every way, bundles, single resources."""

import gzip
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.loading import load_files
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.settings import load_settings
from lambda_pipeline_tests.doors import hostile
from lambda_pipeline_tests.doors.hospital import make_door
from lambda_pipeline_tests.support.hospital import condition, height, patient
from lambda_pipeline_tests.support.programs import Program

BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:1", "resource": patient("p1"), "request": {"method": "PUT", "url": "Patient/p1"}},
        {"resource": {**condition("c1", "p1"), "subject": {"reference": "urn:uuid:1"}},
         "request": {"method": "POST", "url": "Condition", "ifNoneExist": "identifier=1"}},
        {"request": {"method": "DELETE", "url": "Patient/p2"}},
        {"request": {"method": "GET", "url": "Patient"}},
    ],
}  # fmt: skip
COLLECTION: dict[str, Any] = {
    "resourceType": "Bundle", "type": "collection", "entry": [
        {"fullUrl": "urn:uuid:0a", "resource": {"resourceType": "Patient"}},
        {"fullUrl": "http://x/Patient/b", "resource": patient("b", generalPractitioner=[{"reference": "urn:uuid:0a"}])},
    ],
}  # fmt: skip
RESOURCES: list[Any] = [
    patient("a", birthDate="1970-01-01", meta={"versionId": "3", "lastUpdated": "2026-01-01T00:00:00Z", "tag": [
        {"system": "s", "code": "c"}], "profile": ["http://p"], "source": "x#1"}),
    condition("c", "a"), height("h", "a", 1.5), {"resourceType": "Patient"}, BUNDLE, COLLECTION,
]  # fmt: skip
LINES = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"\x1f\x8b\x00", b"\x00", b'{"resourceType": 1}', b"1e999",
    b"NaN",
    b'{"resourceType": "Patient", "id": "x", "id": "y"}', b'{"resourceType": "Patient", "id": "big", "x": 1E+99999}',
    b'{"resourceType": "Patient", "id": "n\\u0000"}',
    b'{"resourceType": "Patient", "id": "s", "name": [{"family": "\\ud800"}]}',
    b'{"resourceType": "Patient", "multipleBirthInteger": ' + b"9" * 5_000 + b"}", b"[" * 5_000, b'{"a":' * 3_000,
    b'\xef\xbb\xbf{"resourceType": "Patient", "id": "bom"}', b'{"resourceType": "Pati\xc3"}', b'"' + b"x" * 99_999,
    b'{"resourceType": "Patient", "id": "long", "name": [{"family": "' + b"x" * 1_000_000 + b'"}]}',
    b'{"resourceType": "Nonsense", "id": "x"}', b'{"resourceType": "Patient", "id": "' + b"i" * 65 + b'"}',
    b'{"resourceType": "Patient", "id": "1"}', b'{"resourceType": "Patient", "birthDate": "31.01.1950"}',
]  # fmt: skip


def content(choose: random.Random) -> bytes:
    lines = []
    for _ in range(choose.randint(1, 5)):
        if choose.random() < 0.3:
            lines.append(choose.choice(LINES))
            continue
        made = hostile.mutated(choose, choose.choice(RESOURCES), choose.choice([0, 1, 1, 2]))
        with suppress(RecursionError):
            line = json.dumps(made, ensure_ascii=choose.random() < 0.7).encode(errors="surrogatepass")
            if choose.random() < 0.1:
                at = choose.randrange(len(line))
                line = line[:at] + choose.choice(LINES)[:9] + line[at + 1 :]
            lines.append(line)
    whole = choose.choice([b"\n", b"\r\n", b"\n\n"]).join(lines)
    if choose.random() < 0.15:
        packed = gzip.compress(whole)
        return packed if choose.random() < 0.5 else packed[: choose.randrange(len(packed))]
    return whole


def file_of(choose: random.Random, folder: Path, number: int) -> Path:
    file = (
        folder
        / f"{number}{choose.choice(['.ndjson', '.ndjson', '.json', '.json', '.jsonl', '.ndjson.gz', '.json.gz'])}"
    )
    file.write_bytes(content(choose))
    return file


@pytest.fixture
def demo(database_url: str) -> Any:
    database = Database(database_url)
    made = DemoHapi(database, referential_integrity=False)
    made.install()
    yield made
    database.close()


@pytest.mark.parametrize("part", hostile.parts(180, 45))
def test_a_file_is_loaded_or_named(demo: DemoHapi, tmp_path: Path, part: int) -> None:
    choose = hostile.chooser("load", part)
    loaded = 0
    for number in range(45):
        file = file_of(choose, tmp_path, number)
        before = _resources(demo)
        try:
            (done,) = load_files(demo, [file]).values()
        except LambdaPipelineError as error:
            hostile.expect_code(error)
        else:
            loaded += done.resources
            continue
        assert _resources(demo) == before, file.read_bytes()[:500]
    assert loaded


def _resources(demo: DemoHapi) -> tuple[Any, ...]:
    with demo.database.connect() as connection:
        (row,) = connection.execute("SELECT count(*), sum(res_ver) FROM hfj_resource").fetchall()
    return row


@pytest.mark.parametrize("part", hostile.parts(30, 10))
def test_the_commands_for_files_name_what_they_leave_out(
    demo_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: int,
) -> None:
    monkeypatch.setenv("LAMBDA_PIPELINE_HOME", str(demo_home))
    load_settings.cache_clear()
    door: Program = make_door(capsys)
    choose = hostile.chooser("commands for files", part)
    view = load_settings().view_definitions / "patient_simple.json"
    for number in range(10):
        file = file_of(choose, tmp_path, number)
        ran = door("views", "run", str(view), "--ndjson", str(file), "--format", "jsonl")
        assert ran.code in {0, 1, 3}
        for line in ran.out.splitlines():
            json.loads(line)
        loaded = door("load", str(file))
        assert loaded.code in {0, 1, 3}
        assert bool(loaded.out) == (loaded.code != 3)
