"""`resource`: the resource on standard output, and what is known about it beside it."""

import json

from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline_tests.support.hospital import named_patient
from lambda_pipeline_tests.support.programs import Program


def test_the_resource_is_the_only_thing_on_standard_output(published: DemoHapi, program: Program) -> None:
    asked = program("resource", "Patient/adam")
    assert asked.code == 0
    assert json.loads(asked.out)["birthDate"] == "1950-01-31"
    assert "Patient/adam: found, version 1, valid as of" in asked.err
    assert asked.err.rstrip().endswith("from hapi")
    assert "1950" not in asked.err
    published.update(named_patient("adam", "male", "1951-01-31"))
    program("poll")
    assert program("resource", "Patient/adam").err.rstrip().endswith("from overlay")


def test_nothing_is_printed_of_a_deleted_or_unknown_resource(published: DemoHapi, program: Program) -> None:
    published.delete("Patient", "bert")
    for reference, said in (("Patient/bert", "deleted, version 2"), ("Patient/nobody", "unknown, valid")):
        asked = program("resource", reference)
        assert (asked.code, asked.out) == (1, "")
        assert f"{reference}: {said}" in asked.err
    assert program("resource", "adam").code == 3
