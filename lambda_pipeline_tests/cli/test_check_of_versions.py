"""`check` compares the version of FHIR of each view with the one in which HAPI stored the resources of its type."""

import gzip
import json
from pathlib import Path

import psycopg
import pytest

from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.operations.preflight import Finding, Level
from lambda_pipeline.operations.preflight_hapi import check_hapi
from lambda_pipeline.settings import Settings
from lambda_pipeline_tests.support.programs import Program

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAMBDA_PIPELINE_VIEW_DEFINITIONS", str(tmp_path))
    return tmp_path


def deploy(folder: Path, name: str, resource: str, *versions: str) -> None:
    definition = {
        "resourceType": "ViewDefinition",
        "name": name,
        "resource": resource,
        "fhirVersion": list(versions) or None,
        "select": [{"column": [{"name": "id", "path": "id"}]}],
    }
    (folder / f"{name}.json").write_text(json.dumps(definition))


def store_as(database_url: str, version: str | None, resource_type: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE hfj_resource SET res_version = %s WHERE res_type = %s", (version, resource_type))


def findings(out: str) -> list[str]:
    return [line for line in out.splitlines() if "FHIR version" in line]


def test_a_view_of_another_version_fails_by_name(hapi: DemoHapi, program: Program, folder: Path) -> None:
    deploy(folder, "persons", "Patient", "5.0.0")
    deploy(folder, "diagnoses", "Condition", "4.0.1")
    checked = program("check")
    assert checked.code == 1
    (found,) = findings(checked.out)
    assert found.startswith(
        "fail FHIR version: view persons is of R5 (5.0.0), and 5 Patient resources are stored as R4"
    )
    assert "docs/views.md, Versions of FHIR" in found


def test_each_version_that_is_stored_is_compared(
    hapi: DemoHapi, program: Program, folder: Path, database_url: str
) -> None:
    store_as(database_url, "R5", "Patient")
    deploy(folder, "persons", "Patient", "4.0.1", "5.0.0")
    deploy(folder, "diagnoses", "Condition", "4.0.1")
    checked = program("check")
    assert checked.code == 0
    assert findings(checked.out) == ["ok   FHIR version: R4, R5, as the views state it"]


def test_deleted_resources_do_not_count(hapi: DemoHapi, program: Program, folder: Path, database_url: str) -> None:
    deploy(folder, "persons", "Patient", "5.0.0")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE hfj_resource SET res_deleted_at = res_updated WHERE res_type = 'Patient'")
    assert findings(program("check").out) == ["ok   FHIR version: none yet, as the views state it"]


def test_a_resource_that_does_not_say_its_version_is_a_warning(
    hapi: DemoHapi, program: Program, folder: Path, database_url: str
) -> None:
    store_as(database_url, None, "Patient")
    deploy(folder, "persons", "Patient")
    checked = program("check")
    assert checked.code == 0
    assert findings(checked.out) == [
        "warn FHIR version: view persons is of R4 (4.0.1), and 5 Patient resources do not say their version"
    ]


def test_tables_without_the_column_are_a_warning(
    hapi: DemoHapi, program: Program, folder: Path, database_url: str
) -> None:
    deploy(folder, "persons", "Patient")
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE hfj_resource DROP COLUMN res_version")
    checked = program("check")
    assert checked.code == 0
    assert findings(checked.out) == ["warn FHIR version: HAPI's tables do not say which version their resources are of"]


@pytest.mark.parametrize("dump", sorted(DATA.rglob("tables.sql.gz")), ids=lambda path: path.parent.name)
def test_the_shipped_views_are_of_the_version_that_real_servers_stored(database_url: str, dump: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(gzip.decompress(dump.read_bytes()))
    database = Database(database_url)
    try:
        found = [finding for finding in check_hapi(database, Settings()) if finding.subject == "FHIR version"]
    finally:
        database.close()
    assert found == [Finding(Level.OK, "FHIR version", "R4, as the views state it")]
