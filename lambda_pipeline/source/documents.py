"""A relation of resources over FHIR documents given as a parameter, for files without a table.

Reading the files stands in `ndjson.py`; running a view over them in `cli/documents.py`.
"""

from psycopg import sql

from lambda_pipeline.source.bodies import as_jsonb
from lambda_pipeline.source.keys import NO_PARTITION

INSTANT = r"^[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9:.]+(Z|[+-][0-9][0-9]:[0-9][0-9])$"


def documents_relation(resource_type: str) -> sql.Composed:
    """FHIR resources, given as JSON texts, as a relation that a `View` can select from.

    The parameter is `%(documents)s`, a `text[]` with one resource per element; resources of other types are left out.
    `id` and `meta` are those of the documents; `version` is `meta.versionId` where that is a number, else 1. U+0000 in
    a string becomes U+FFFD.

    Args:
        resource_type: the type to keep.
    """
    return sql.SQL(
        """
        SELECT {no_partition} AS partition, {resource_type}::text AS type, d.body ->> 'id' AS id,
               CASE WHEN d.body #>> '{{meta,versionId}}' ~ '^[0-9]{{1,18}}$'
                    THEN (d.body #>> '{{meta,versionId}}')::bigint ELSE 1 END AS version,
               CASE WHEN d.body #>> '{{meta,lastUpdated}}' ~ {instant}
                    THEN (d.body #>> '{{meta,lastUpdated}}')::timestamptz END AS last_updated,
               d.body
          FROM (SELECT {body} AS body
                  FROM unnest(%(documents)s::text[]) t(text)
                OFFSET 0) d
         WHERE d.body ->> 'resourceType' = {resource_type}
        """
    ).format(
        resource_type=sql.Literal(resource_type), no_partition=sql.Literal(NO_PARTITION),
        body=as_jsonb(sql.SQL("t.text")), instant=sql.Literal(INSTANT),
    )  # fmt: skip
