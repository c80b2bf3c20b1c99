"""Changed resources become entries: one statement for all views, and one bad view harms no other."""

import copy
from collections.abc import Callable

from lambda_pipeline.speed.point_reads import point_read
from lambda_pipeline_tests.support.definitions import PATIENTS
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World

STRICT = copy.deepcopy(PATIENTS)
STRICT["name"] = "strict"
STRICT["select"][0]["column"][2]["tag"] = [{"name": "ansi/type", "value": "DATE"}]


def test_a_resource_that_one_view_cannot_read_keeps_its_rows_in_the_others(make_world: Callable[..., World]) -> None:
    world = make_world()
    world.use([PATIENTS, STRICT])
    world.demo.update(patient("a", birthDate="1970-06-01"))
    world.refresh()
    world.demo.update(patient("b", birthDate="1970-06"))
    world.demo.update(patient("c", birthDate="1971-06-01"))
    assert world.poll().unreadable == 1
    assert sorted(world.serving.query("patients").frame["id"]) == ["a", "b", "c"]
    strict = world.serving.query("strict")
    assert sorted(strict.frame["id"]) == ["a", "c"]
    assert [each.resource for each in strict.quarantined] == ["Patient/b"]
    assert not world.serving.query("patients").quarantined
    assert point_read(world.overlay, "Patient", "b") is not None
