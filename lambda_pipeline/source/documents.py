"""A relation of resources over FHIR documents that come as a parameter: for files, with no table behind them."""

from psycopg import sql

NUL_ESCAPE = r"(?<!\\)((?:\\\\)*)\\u0000"
"""An escaped U+0000 in JSON text, which jsonb cannot hold and FHIR forbids; group 1 are the backslashes before it."""

INSTANT = r"^[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9:.]+(Z|[+-][0-9][0-9]:[0-9][0-9])$"


def documents_relation(resource_type: str) -> sql.Composed:
    """Whole FHIR resources, given as JSON texts, as a relation that a `View` can select from.

    The parameter is `%(documents)s`, a `text[]` with one resource per element; resources of other types are left out.
    `id` and `meta` are those of the documents, `version` is `meta.versionId` where that is a number, else 1. U+0000 in
    a string becomes U+FFFD.

    Args:
        resource_type: the type to keep.
    """
    return sql.SQL(
        """
        SELECT -1 AS partition, {resource_type}::text AS type, d.body ->> 'id' AS id,
               CASE WHEN d.body #>> '{{meta,versionId}}' ~ '^[0-9]{{1,18}}$'
                    THEN (d.body #>> '{{meta,versionId}}')::bigint ELSE 1 END AS version,
               CASE WHEN d.body #>> '{{meta,lastUpdated}}' ~ {instant}
                    THEN (d.body #>> '{{meta,lastUpdated}}')::timestamptz END AS last_updated,
               d.body
          FROM (SELECT CASE WHEN strpos(t.text, {escape}) > 0
                            THEN regexp_replace(t.text, {pattern}, '\\1\\ufffd', 'g') ELSE t.text END::jsonb AS body
                  FROM unnest(%(documents)s::text[]) t(text)
                OFFSET 0) d
         WHERE d.body ->> 'resourceType' = {resource_type}
        """
    ).format(
        resource_type=sql.Literal(resource_type), escape=sql.Literal("\\u0000"), pattern=sql.Literal(NUL_ESCAPE),
        instant=sql.Literal(INSTANT),
    )  # fmt: skip
