"""What clients of HAPI do: one method for each step of a history, by its name.

A method returns False when there was nothing to do.
"""

from datetime import timedelta

from lambda_pipeline_tests.model import bodies
from lambda_pipeline_tests.model.actor import Actor, step
from lambda_pipeline_tests.model.hapi import Hapi, Open
from lambda_pipeline_tests.model.oracle import Body


class Clients(Actor):
    """All of them.

    Args:
        hapi: their server.
    """

    def __init__(self, hapi: Hapi) -> None:
        self.hapi = hapi

    @step
    def populate(self, count: int) -> None:
        with self.hapi.at("now") as at:
            for number in range(count):
                for kind in ("Patient", "Condition", "Observation"):
                    shape = 0 if kind == "Patient" else number
                    at.put(kind, bodies.logical_id(kind, number), bodies.body(kind, shape))

    @step
    def put(self, kind: str, number: int, shape: int, place: str) -> None:
        with self.hapi.at(place) as at:
            at.put(kind, bodies.logical_id(kind, number), bodies.body(kind, shape))

    @step
    def same(self, kind: str, number: int, place: str) -> bool | None:
        with self.hapi.at(place) as at:
            known = at.living(kind, bodies.logical_id(kind, number))
            if known is None or known.sent is None:
                return False
            at.put(kind, bodies.logical_id(kind, number), known.sent)
        return None

    @step
    def delete(self, kind: str, number: int, place: str) -> bool | None:
        with self.hapi.at(place) as at:
            if at.living(kind, bodies.logical_id(kind, number)) is None:
                return False
            at.delete(kind, bodies.logical_id(kind, number))
        return None

    @step
    def merge(self, number: int, into: int, place: str) -> bool | None:
        old, new = f"Patient/p{number}", f"Patient/p{into}"
        with self.hapi.at(place) as at:
            patient = _readable(at, "Patient", f"p{number}")
            if patient is None or old == new:
                return False
            for kind, logical_id in [key for key in self.hapi.server.now if key[0] != "Patient"]:
                body = _readable(at, kind, logical_id)
                if body is not None and body.get("subject", {}).get("reference") == old:
                    at.put(kind, logical_id, {**body, "subject": {"reference": new}})
            at.put("Patient", f"p{number}", {**patient, "active": False})
        return None

    @step
    def toggle(self, kind: str, number: int, place: str) -> bool:
        with self.hapi.at(place) as at:
            return _toggled(at, kind, bodies.logical_id(kind, number))

    @step
    def names(self, number: int, count: int, place: str) -> bool | None:
        with self.hapi.at(place) as at:
            body = _readable(at, "Patient", f"p{number}")
            if body is None:
                return False
            at.put("Patient", f"p{number}", bodies.with_names(body, count))
        return None

    @step
    def bulk(self, kind: str, count: int, shape: int, place: str) -> None:
        with self.hapi.at(place) as at:
            for number in range(count):
                at.put(kind, bodies.logical_id(kind, number), bodies.body(kind, shape + number % 7))

    @step
    def replace(self, kind: str, number: int, shape: int, place: str) -> None:
        logical_id = bodies.logical_id(kind, number)
        with self.hapi.at(place) as at:
            at.delete(kind, logical_id)
            at.put(kind, logical_id, bodies.body(kind, shape))

    @step
    def lose_version(self, kind: str, number: int, place: str) -> bool:
        logical_id = bodies.logical_id(kind, number)
        with self.hapi.at(place) as at:
            if not _toggled(at, kind, logical_id):
                return False
            at.lose_version(kind, logical_id)
        return True

    @step
    def bare_delete(self, kind: str, number: int, place: str) -> bool | None:
        logical_id = bodies.logical_id(kind, number)
        with self.hapi.at(place) as at:
            if at.living(kind, logical_id) is None:
                return False
            at.delete(kind, logical_id)
            at.lose_version(kind, logical_id)
        return None

    @step
    def raw(self, kind: str, number: int, how: int, place: str) -> None:
        text, body, more = bodies.raw(kind, how)
        with self.hapi.at(place) as at:
            at.raw(kind, bodies.logical_id(kind, number), text, body, **more)

    @step
    def rewrite(self, kind: str, number: int, back: int, shape: int, place: str) -> None:
        with self.hapi.at(place) as at:
            at.rewrite(kind, bodies.logical_id(kind, number), back, bodies.body(kind, shape))

    @step
    def expunge(self, kind: str, number: int, deleted: int, place: str) -> None:
        """Of previous versions; or of the whole resource, which is deleted first if it has to be."""
        logical_id = bodies.logical_id(kind, number)
        with self.hapi.at(place) as at:
            if deleted and at.living(kind, logical_id) is not None:
                at.delete(kind, logical_id)
            at.expunge(kind, logical_id)

    @step
    def tag(self, kind: str, number: int, tag: int, place: str) -> None:
        with self.hapi.at(place) as at:
            at.tag(kind, bodies.logical_id(kind, number), bodies.TAGS[tag], add=True)

    @step
    def untag(self, kind: str, number: int, tag: int, place: str) -> None:
        with self.hapi.at(place) as at:
            at.tag(kind, bodies.logical_id(kind, number), bodies.TAGS[tag], add=False)

    @step
    def history(self, kept: int) -> None:
        self.hapi.demo.history = bool(kept)

    @step
    def open(self, slot: str, minutes: int) -> None:
        self.hapi.begin(slot, timedelta(minutes=minutes))

    @step
    def commit(self, slot: str) -> bool | None:
        if slot not in self.hapi.open:
            return False
        self.hapi.commit(slot)
        return None

    @step
    def rollback(self, slot: str) -> bool | None:
        if slot not in self.hapi.open:
            return False
        self.hapi.rollback(slot)
        return None


def _readable(at: Open, kind: str, logical_id: str) -> Body | None:
    resource = at.living(kind, logical_id)
    readable = resource.readable() if resource else None
    return readable[1] if readable else None


def _toggled(at: Open, kind: str, logical_id: str) -> bool:
    """Put a resource on the other side of its view's `where`; False where there is none."""
    body = _readable(at, kind, logical_id)
    if body is None:
        return False
    at.put(kind, logical_id, bodies.toggled(kind, body))
    return True
