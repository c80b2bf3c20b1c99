"""A compiled view, as the rest of the project uses it: columns, digest, and a `SELECT` over a relation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from lambda_pipeline.errors import Problem
from lambda_pipeline.views.fhir_types import R4, FhirVersion, stated_versions
from lambda_pipeline.views.view_tests import ViewTests

KEY_COLUMNS = ("_partition", "_id", "_version")
"""Resource key and version, the first columns of every compiled SELECT. A view column cannot start with `_`."""

RELATION_PLACEHOLDER = "{{relation}}"

MAX_VIEW_NAME = 48
"""Characters of a view's name: physical tables and indexes append to it, and PostgreSQL cuts names at 63 bytes."""

_BATCH_TABLES = ("generation", "generation_view", "quarantine", "resource_key")
RESERVED_NAMES = frozenset((*_BATCH_TABLES, *(f"{table}_pkey" for table in _BATCH_TABLES)))
"""Names that a view cannot have: the batch layer has tables (`sql/schema.sql`) in the schema of the views."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a view.

    Attributes:
        name: as in the definition.
        type: PostgreSQL type in the notation of DDL: `text`, `numeric`, `numeric(10,2)`, `timestamptz`, `jsonb` ...
        fhir_type: the FHIR type that the definition declares; None without one.
        path: the FHIRPath expression.
        collection: whether the column holds a list; its type is then `jsonb`.
        indexed: whether the batch table gets an index on it (column tag `lambda_pipeline/index`).
        description: from the definition; may be empty.
    """

    name: str
    type: str
    fhir_type: str | None = None
    path: str = ""
    collection: bool = False
    indexed: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A compiled ViewDefinition.

    Attributes:
        name: the view's `name`; also the name of its relation.
        resource: the type of its resources, such as `Patient`.
        columns: in the order of the specification.
        definition: the ViewDefinition as JSON.
        digest: 64 hex digits over resource type, compiled text and columns: two views with one digest give equal rows.
        complete_body: whether the SELECT reads `meta`, or `id` from a body: the relation must then provide bodies with
            both, which the text that HAPI stores does not contain.
        statement: the compiled SELECT, with `{{relation}}` for the relation.
        file: name of its file.
        description: from the definition; may be empty.
        warnings: what is allowed in the definition, but may make resources unreadable.
        tests: of the file beside its own; None without one, and for a published definition.
    """

    name: str
    resource: str
    columns: tuple[Column, ...]
    digest: str
    statement: str
    complete_body: bool = False
    file: str = ""
    description: str = ""
    definition: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[Problem, ...] = field(default=(), compare=False, repr=False)
    tests: ViewTests | None = field(default=None, compare=False, repr=False)

    @property
    def fhir_versions(self) -> tuple[FhirVersion, ...]:
        """The versions of FHIR whose resources the view may read: each gives the same statement."""
        return stated_versions(self.definition.get("fhirVersion")) or (R4,)

    def select(self, relation: sql.Composable) -> sql.Composed:
        """The view over a relation of resources: `_partition, _id, _version` and the view's columns.

        Args:
            relation: a SELECT that can be put in parentheses in a FROM clause, with the columns
                `partition integer, type text, id text, version bigint, last_updated timestamptz, body jsonb`,
                which yields only resources of type `self.resource`.

        Returns:
            A statement to execute with parameters, at least an empty mapping (`%` in its text is doubled).
        """
        before, after = self.statement.replace("%", "%%").split(RELATION_PLACEHOLDER)
        return sql.Composed([sql.SQL(before), relation, sql.SQL(after)])
