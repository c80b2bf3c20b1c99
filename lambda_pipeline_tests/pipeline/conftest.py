"""A whole pipeline over a database of its own."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.refresh import refresh
from lambda_pipeline.database import Database
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.serving import Answer, Serving
from lambda_pipeline.settings import Settings
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poll, Poller
from lambda_pipeline.views import View, compile_view

PATIENTS = {
    "resourceType": "ViewDefinition",
    "name": "patients",
    "status": "active",
    "resource": "Patient",
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "id"},
                {"name": "gender", "path": "gender", "type": "code"},
                {"name": "birth_date", "path": "birthDate", "type": "date"},
                {"name": "family", "path": "name.family.first()", "type": "string"},
            ]
        }
    ],
}
GIVEN_NAMES = {
    "resourceType": "ViewDefinition",
    "name": "given_names",
    "status": "active",
    "resource": "Patient",
    "select": [
        {
            "column": [{"name": "patient_id", "path": "getResourceKey()", "type": "id"}],
            "select": [{"forEach": "name.given", "column": [{"name": "given", "path": "$this", "type": "string"}]}],
        }
    ],
}
CONDITIONS = {
    "resourceType": "ViewDefinition",
    "name": "conditions",
    "status": "active",
    "resource": "Condition",
    "where": [
        {
            "path": "verificationStatus.coding.where(code = 'entered-in-error').empty()",
        }
    ],
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "id"},
                {"name": "patient_id", "path": "subject.getReferenceKey(Patient)", "type": "id"},
                {"name": "code", "path": "code.coding.code.first()", "type": "code"},
            ]
        }
    ],
}
HEIGHTS = {
    "resourceType": "ViewDefinition",
    "name": "heights",
    "status": "active",
    "resource": "Observation",
    "select": [
        {
            "column": [
                {"name": "id", "path": "getResourceKey()", "type": "id"},
                {"name": "patient_id", "path": "subject.getReferenceKey(Patient)", "type": "id"},
                {"name": "value", "path": "value.ofType(Quantity).value", "type": "decimal"},
                {"name": "profile", "path": "meta.profile", "type": "canonical", "collection": True},
            ]
        }
    ],
}
DEFINITIONS = (PATIENTS, GIVEN_NAMES, CONDITIONS, HEIGHTS)

MALE_DIABETICS = """
SELECT DISTINCT p.id
  FROM patients p JOIN conditions c ON c.patient_id = p.id
 WHERE p.gender = 'male' AND c.code = '44054006'
"""


def patient(logical_id: str, gender: str = "male", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": logical_id, "gender": gender, **more}


def condition(logical_id: str, patient_id: str, code: str = "44054006", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": logical_id,
        "subject": {"reference": f"Patient/{patient_id}"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": code}]},
        **more,
    }


def height(logical_id: str, patient_id: str, value: Any = 170, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": logical_id,
        "status": "final",
        "subject": {"reference": f"Patient/{patient_id}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
        "valueQuantity": {"value": value, "unit": "cm"},
        **more,
    }


class World:
    """HAPI-shaped source, batch, overlay and serving, with the product's own code on each."""

    def __init__(self, database_url: str, redis_url: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.database = Database(database_url)
        self.overlay = Overlay(redis_url, self.settings)
        self.demo = DemoHapi(self.database, referential_integrity=False)
        self.demo.install()
        self.use(DEFINITIONS)

    def use(self, definitions: Sequence[dict[str, Any]]) -> None:
        """Deploy these views."""
        self.views: tuple[View, ...] = tuple(compile_view(definition) for definition in definitions)
        self.poller = Poller(self.database, self.overlay, self.views, self.settings)
        self.serving = Serving(self.database, self.overlay, self.views, self.settings)

    def refresh(self, **options: Any) -> Generation:
        return refresh(self.database, self.views, self.settings, **options)

    def poll(self) -> Poll:
        return self.poller.poll()

    def rows(self, view: str, mode: str = "live") -> Counter[tuple[str, ...]]:
        return multiset(self.serving.query(view, mode=mode))

    def cohort(self, mode: str = "live") -> set[str]:
        return set(self.serving.select(MALE_DIABETICS, mode=mode).frame["id"])

    def assert_exact(self) -> None:
        """Every view and the cohort: what is served equals the recompute. Only after a poll or a refresh."""
        for view in self.views:
            assert self.rows(view.name) == self.rows(view.name, "source"), view.name
        assert self.cohort() == self.cohort("source")


def multiset(answer: Answer) -> Counter[tuple[str, ...]]:
    return Counter(tuple(map(str, row)) for row in answer.frame.itertuples(index=False))


@pytest.fixture
def world(database_url: str, redis_url: str) -> Iterator[World]:
    """Views over an empty source; nothing refreshed yet."""
    made = World(database_url, redis_url)
    yield made
    made.serving.close()


@pytest.fixture
def cohort(world: World) -> World:
    """Three patients with diabetes, two of them male, in a published generation; polled once."""
    for logical_id, gender in [("a", "male"), ("b", "male"), ("c", "female")]:
        world.demo.update(patient(logical_id, gender, name=[{"given": ["X", "Y"]}]))
        world.demo.update(condition(f"dm-{logical_id}", logical_id))
    world.demo.update(height("h1", "a", 181))
    world.refresh()
    world.poll()
    return world


@pytest.fixture
def make_world(new_database: Callable[..., str], redis_url: str) -> Iterator[Callable[..., World]]:
    """Worlds with settings of their own."""
    made: list[World] = []

    def make(url: str | None = None, **settings: Any) -> World:
        made.append(World(new_database(), url or redis_url, Settings(**settings)))
        return made[-1]

    yield make
    for one in made:
        one.serving.close()
