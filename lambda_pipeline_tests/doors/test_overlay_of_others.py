"""Redis holds what somebody else wrote: bytes, other types, halves of what a poll writes."""

from contextlib import suppress
from typing import Any

import pytest
import redis

from lambda_pipeline.errors import LambdaPipelineError
from lambda_pipeline.operations.parity import check_parity
from lambda_pipeline.speed.point_reads import point_read
from lambda_pipeline_tests.doors import hostile
from lambda_pipeline_tests.support.hospital import patient
from lambda_pipeline_tests.support.worlds import World

WRITTEN = [
    b"",
    b"\xff\xfe",
    b"x",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b"-1",
    b"1e9",
    b"9" * 30,
    b"NaN",
    b'{"k": [-1, "a"]}',
    b"\x00",
]


def damage(client: Any, choose: Any) -> None:
    """Change one thing that a poll wrote."""
    names = sorted(client.keys("*"))
    name = choose.choice(names)
    kind = client.type(name)
    value = choose.choice(WRITTEN)
    if choose.random() < 0.1:
        client.delete(name)
        client.set(name, value)
    elif kind == b"hash":
        field = choose.choice(sorted(client.hkeys(name)))
        old = client.hget(name, field)
        cut = choose.randrange(len(old) + 1)
        client.hset(name, field, choose.choice([value, old[:cut], old[:cut] + value + old[cut + 1 :]]))
    elif kind == b"zset":
        client.zadd(name, {value: choose.choice([0, -1, 1e18, float("inf")])})
    elif kind == b"string":
        client.set(name, value)


@pytest.mark.parametrize("part", hostile.parts(20, 10))
def test_an_overlay_that_somebody_changed_ends_no_door_without_a_code(
    published_cohort: World, redis_url: str, part: int
) -> None:
    choose, world = hostile.chooser("overlay", part), published_cohort
    with redis.Redis.from_url(redis_url) as client:
        for number in range(10):
            world.demo.update(patient(f"n{number}"))
            with suppress(LambdaPipelineError):
                world.poll()
            for _ in range(choose.choice([1, 1, 2])):
                damage(client, choose)
            for door in (
                lambda: world.serving.query("patients"),
                lambda: world.serving.select("SELECT count(*) AS n FROM patients", compare=True),
                lambda: point_read(world.overlay, "Patient", "a"),
                lambda: check_parity(world.serving, "live", sample=None, patience_s=0),
                world.poll,
                world.refresh if number % 5 == 4 else world.poll,
            ):
                with suppress(LambdaPipelineError):
                    door()
            if choose.random() < 0.3:
                client.flushall()
        client.flushall()
    world.poll()
    world.assert_exact()
