"""Views over HAPI's own REST answers, to compare with what the pipeline serves from its tables."""

import json
from collections import Counter
from typing import Any

import psycopg

from lambda_pipeline.database import Database
from lambda_pipeline.serving import Mode, Serving
from lambda_pipeline.settings import Settings
from lambda_pipeline.source.documents import documents_relation
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll import Poller
from lambda_pipeline.views import View, compile_view

WHOLE = {
    "resourceType": "ViewDefinition",
    "name": "whole_{}",
    "status": "active",
    "resource": "{}",
    "select": [
        {
            "column": [
                {"name": "id", "path": "id", "type": "id"},
                {"name": "version", "path": "meta.versionId", "type": "id"},
                {"name": "updated", "path": "meta.lastUpdated", "type": "instant"},
                {"name": "source", "path": "meta.source", "type": "uri"},
                {"name": "profiles", "path": "meta.profile", "type": "canonical", "collection": True},
                {"name": "tags", "path": "meta.tag.code", "type": "code", "collection": True},
                {"name": "labels", "path": "meta.security.code", "type": "code", "collection": True},
            ]
        }
    ],
}


def whole(resource_type: str) -> View:
    """A view of what HAPI keeps beside the body: id, version, time, profiles, tags, security labels."""
    name = WHOLE["name"].format(resource_type.lower())
    return compile_view({**WHOLE, "name": name, "resource": resource_type})


def expected(database: Database, view: View, documents: list[str]) -> Counter[tuple[str, ...]]:
    """The view over REST answers, by the same compiler over another provider of resources."""
    columns = psycopg.sql.SQL(", ").join(
        psycopg.sql.SQL("{}::text").format(psycopg.sql.Identifier(column.name)) for column in view.columns
    )
    statement = psycopg.sql.SQL("SELECT {} FROM ({}\n) AS rows").format(
        columns, view.select(documents_relation(view.resource))
    )
    with database.connect() as connection:
        return Counter(map(comparable, connection.execute(statement, {"documents": documents}).fetchall()))


def served(serving: Serving, view: View, mode: Mode) -> Counter[tuple[str, ...]]:
    columns = ", ".join(f'"{column.name}"::text AS "{column.name}"' for column in view.columns)
    answer = serving.select(f'SELECT {columns} FROM "{view.name}"', mode=mode)
    assert not answer.quarantined
    rows = answer.frame.astype(object).where(answer.frame.notna(), None).itertuples(index=False)
    return Counter(map(comparable, rows))


def comparable(row: Any) -> tuple[str, ...]:
    """Lists of codes without their order: HAPI does not keep the order of tags."""
    return tuple(
        json.dumps(sorted(json.loads(value), key=str)) if isinstance(value, str) and value[:1] == "[" else str(value)
        for value in row
    )


def pipeline(
    url: str, redis_url: str, views: list[View], settings: Settings | None = None
) -> tuple[Database, Serving, Poller]:
    """Serving and poller over HAPI's tables; close `Serving` at the end."""
    settings, database = settings or Settings(), Database(url)
    overlay = Overlay(redis_url, settings)
    return database, Serving(database, overlay, views, settings), Poller(database, overlay, views, settings)
