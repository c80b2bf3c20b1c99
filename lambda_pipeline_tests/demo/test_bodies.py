"""The stored text of a resource."""

import json

import pytest

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.errors import BadDataError


def stored(**elements: object) -> str:
    text = json.dumps({"resourceType": "Observation", **elements})
    return bodies.stored_text(bodies.parse(text)).removeprefix('{"resourceType":"Observation",').removesuffix("}")


def test_id_and_meta_are_left_out_except_extensions_of_meta() -> None:
    assert stored(id="o", meta={"tag": [{"code": "a"}]}, status="final") == '"status":"final"'
    kept = stored(meta={"profile": ["http://p"], "extension": [{"url": "u", "valueString": "v"}]}, status="final")
    assert kept == '"meta":{"extension":[{"url":"u","valueString":"v"}]},"status":"final"'


def test_elements_come_in_the_order_of_the_model_and_unknown_ones_go() -> None:
    found = stored(
        valueString="v", issued="2026", status="final", _status={"id": "i"}, mood="good", extension=[{"url": "u"}]
    )
    assert found == '"extension":[{"url":"u"}],"status":"final","_status":{"id":"i"},"issued":"2026","valueString":"v"'


def test_every_resource_type_of_r4_has_the_order_of_the_model() -> None:
    sent = '{"resourceType":"Goal","target":[{"dueDate":"2026"}],"mood":1,"startDate":"2025","statusDate":"2026"}'
    kept = '{"resourceType":"Goal","startDate":"2025","target":[{"dueDate":"2026"}],"statusDate":"2026"}'
    assert bodies.stored_text(bodies.parse(sent)) == kept
    unknown = '{"resourceType":"Invented","b":"1","a":"2"}'
    assert bodies.stored_text(bodies.parse(unknown)) == unknown


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("1.50", "1.50"), ("1.0", "1.0"), ("123456789012345678901.123456789", "123456789012345678901.123456789"),
     ("1E3", "1000"), ("-0.0", "0.0"), ("-1.20", "-1.20"), ("7", "7")],
)  # fmt: skip
def test_decimals_keep_their_digits(sent: str, kept: str) -> None:
    resource = bodies.parse(f'{{"resourceType":"Observation","valueQuantity":{{"value":{sent}}}}}')
    assert bodies.stored_text(resource) == f'{{"resourceType":"Observation","valueQuantity":{{"value":{kept}}}}}'


def test_a_tiny_decimal_is_written_out() -> None:
    text = bodies.stored_text(bodies.parse('{"resourceType":"Observation","valueQuantity":{"value":1e-400}}'))
    assert f"0.{'0' * 399}1" in text


def test_empty_things_go_and_gaps_in_lists_stay() -> None:
    assert stored(status="final", issued="", note=[{"text": ""}], code={}, method=None) == '"status":"final"'
    patient = bodies.parse('{"resourceType":"Patient","name":[{"given":["A",null],"_given":[null,{"id":"x"}]}]}')
    assert bodies.stored_text(patient) == bodies.to_json(patient)


def test_versioned_references_lose_their_version() -> None:
    assert stored(subject={"reference": "Patient/1/_history/3"}) == '"subject":{"reference":"Patient/1"}'


def test_a_lone_surrogate_becomes_a_question_mark_and_a_nul_stays() -> None:
    assert stored(valueString="a\ud800b\x00") == '"valueString":"a?b\\u0000"'


def test_the_last_of_equal_keys_counts() -> None:
    assert bodies.parse('{"status":"a","status":"b"}') == {"status": "b"}


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"a":NaN}', "[" * 100_000])
def test_what_is_not_a_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadDataError):
        bodies.parse(text)


@pytest.mark.parametrize("value", ["1970", "1970-02", "2024-02-29", "2020-01-01T10:00Z", "2020-01-01T10:00:60+01:00"])
def test_dates_as_hapi_takes_them(value: str) -> None:
    bodies.check_dates({"birthDate": value, "period": [{"start": value}]})


@pytest.mark.parametrize("value", ["1970-02-30", "2023-02-29", "70", "2020-01-01T24:00:00Z", "0000", "yesterday"])
def test_dates_the_calendar_does_not_have(value: str) -> None:
    with pytest.raises(BadDataError, match="effectiveDateTime"):
        bodies.check_dates({"effectiveDateTime": value})
