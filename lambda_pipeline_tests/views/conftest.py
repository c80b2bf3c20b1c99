"""Views over documents, on a real server, and comparison by the rules of the official suite."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from lambda_pipeline.database import Connection, Database
from lambda_pipeline.source.documents import documents_relation
from lambda_pipeline.views import compile_view
from lambda_pipeline.views.view import KEY_COLUMNS
from lambda_pipeline_tests.support.cases import Row, RunView, dump_json


@pytest.fixture(scope="session")
def connection(postgres_url: str) -> Iterator[Connection]:
    database = Database(postgres_url, name="test server")
    with database.connect() as opened:
        yield opened
    database.close()


@pytest.fixture
def run_view(connection: Connection) -> RunView:
    """`run_view(definition, resources)`: its rows; resources are JSON objects or texts."""

    def run(definition: Mapping[str, Any], resources: Sequence[Any]) -> list[Row]:
        view = compile_view(definition)
        documents = [item if isinstance(item, str) else dump_json(item) for item in resources]
        cursor = connection.execute(view.select(documents_relation(view.resource)), {"documents": documents})
        names = [item.name for item in cursor.description or ()]
        assert tuple(names[:3]) == KEY_COLUMNS
        assert names[3:] == [column.name for column in view.columns]
        return [dict(zip(names[3:], row[3:], strict=True)) for row in cursor]

    return run


@pytest.fixture
def evaluate(run_view: RunView) -> Callable[..., list[Any]]:
    """`evaluate(path, *bodies, resource=..., type=..., **column)`: the value of one column for each resource."""

    def run(path: str, *bodies: Any, resource: str = "Patient", constant: Any = (), **column: Any) -> list[Any]:
        definition = {
            "resource": resource,
            "constant": list(constant),
            "select": [{"column": [{"name": "x", "path": path, **column}]}],
        }
        documents = [
            body if isinstance(body, str) else {"resourceType": resource, "id": f"r{index}", **body}
            for index, body in enumerate(bodies)
        ]
        return [row["x"] for row in run_view(definition, documents)]

    return run
