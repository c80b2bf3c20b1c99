-- The batch layer's own tables, in a schema beside HAPI's. Idempotent; `lambda-pipeline refresh` runs it, or a DBA does.
-- Row tables of views (sqlonfhir.<view>__<generation>) and the views over them (sqlonfhir.<view>) are made by the refresh.

-- IF NOT EXISTS would want the right to create schemas even where this one is there.
DO $$
BEGIN
    IF to_regnamespace('sqlonfhir') IS NULL THEN
        CREATE SCHEMA sqlonfhir;
    END IF;
END
$$;

COMMENT ON SCHEMA sqlonfhir IS 'SQL-on-FHIR views of HAPI''s resources, published as generations by lambda_pipeline';

CREATE TABLE IF NOT EXISTS sqlonfhir.generation (
    generation    bigint      PRIMARY KEY,
    kind          text        NOT NULL CHECK (kind IN ('full', 'incremental')),
    mark          text        NOT NULL,
    valid_as_of   timestamptz NOT NULL,
    started_at    timestamptz NOT NULL,
    published_at  timestamptz NOT NULL,
    changes       bigint      NOT NULL,
    repaired      bigint      NOT NULL DEFAULT 0,
    repairs       jsonb       NOT NULL DEFAULT '{}',
    failures      jsonb       NOT NULL DEFAULT '{}',
    digests       jsonb       NOT NULL DEFAULT '{}'
);

-- A table from before these columns gets them. ADD COLUMN IF NOT EXISTS would shut readers out even where they are there.
DO $$
DECLARE
    added text;
BEGIN
    FOREACH added IN ARRAY ARRAY['repairs', 'failures', 'digests'] LOOP
        IF NOT EXISTS (SELECT FROM pg_attribute
                        WHERE attrelid = 'sqlonfhir.generation'::regclass AND attname = added AND NOT attisdropped) THEN
            EXECUTE format('ALTER TABLE sqlonfhir.generation ADD COLUMN %I jsonb NOT NULL DEFAULT ''{}''', added);
        END IF;
    END LOOP;
END
$$;

COMMENT ON TABLE  sqlonfhir.generation IS 'One row per publication of all views; the newest is what readers get';
COMMENT ON COLUMN sqlonfhir.generation.mark IS 'The database snapshot it was made from: cluster, xmin:xmax:running, clock';
COMMENT ON COLUMN sqlonfhir.generation.valid_as_of IS 'The clock just before that snapshot: everything committed by then is in';
COMMENT ON COLUMN sqlonfhir.generation.changes IS 'Resources that were read again because the last snapshot had not seen them';
COMMENT ON COLUMN sqlonfhir.generation.repaired IS 'Resources that only the comparison of all keys found (expunged, tags removed)';
COMMENT ON COLUMN sqlonfhir.generation.repairs IS 'The same by resource type: how many are gone, how many altered, keys of the first';
COMMENT ON COLUMN sqlonfhir.generation.failures IS 'Why a view is not as its file defines it, by name of the view';

COMMENT ON COLUMN sqlonfhir.generation.digests IS 'Checksums of the living resources by resource type: number, keys, tags';

CREATE TABLE IF NOT EXISTS sqlonfhir.generation_view (
    generation    bigint      NOT NULL REFERENCES sqlonfhir.generation ON DELETE CASCADE,
    view          text        NOT NULL,
    resource_type text        NOT NULL,
    digest        text        NOT NULL,
    relation      text        NOT NULL,
    made          text        NOT NULL CHECK (made IN ('full', 'incremental')),
    row_count     bigint      NOT NULL,
    resources     bigint      NOT NULL,
    quarantined   bigint      NOT NULL,
    rows_written  bigint      NOT NULL,
    seconds       double precision NOT NULL,
    columns       jsonb       NOT NULL,
    complete_body boolean     NOT NULL,
    statement     text        NOT NULL,
    definition    jsonb       NOT NULL,
    PRIMARY KEY (generation, view)
);

COMMENT ON TABLE  sqlonfhir.generation_view IS 'What each generation holds of each view, and how it was made';
COMMENT ON COLUMN sqlonfhir.generation_view.digest IS 'Of the compiled statement and its columns: equal digests, equal rows';
COMMENT ON COLUMN sqlonfhir.generation_view.relation IS 'Table in this schema that holds the rows';
COMMENT ON COLUMN sqlonfhir.generation_view.resources IS 'Living resources of the type, with or without rows';
COMMENT ON COLUMN sqlonfhir.generation_view.statement IS 'The compiled SELECT; {{relation}} stands for the resources';

CREATE TABLE IF NOT EXISTS sqlonfhir.quarantine (
    view          text        NOT NULL,
    partition     integer     NOT NULL,
    resource_type text        NOT NULL,
    id            text        NOT NULL,
    version       bigint      NOT NULL,
    sqlstate      text        NOT NULL,
    reason        text        NOT NULL,
    generation    bigint      NOT NULL,
    PRIMARY KEY (view, partition, id)
);

COMMENT ON TABLE sqlonfhir.quarantine IS 'Resources without rows in the newest generation because they cannot be read';
COMMENT ON COLUMN sqlonfhir.quarantine.generation IS 'The generation that found it';

-- A table of before this column is made again: the next refresh is a full one and fills it.
DO $$
BEGIN
    IF to_regclass('sqlonfhir.resource_key') IS NOT NULL AND NOT EXISTS (
            SELECT FROM pg_attribute WHERE attrelid = to_regclass('sqlonfhir.resource_key') AND attname = 'tags') THEN
        DROP TABLE sqlonfhir.resource_key;
    END IF;
END
$$;

-- What the newest generation knows of every living resource, so that a comparison of keys finds what left no trace.
CREATE TABLE IF NOT EXISTS sqlonfhir.resource_key (
    res_id        bigint      PRIMARY KEY,
    resource_type text        NOT NULL,
    partition     integer     NOT NULL,
    id            text        NOT NULL,
    tags          bigint      NOT NULL,
    fingerprint   text        NOT NULL
);

COMMENT ON TABLE  sqlonfhir.resource_key IS 'Every living resource that the newest generation looked at, and which state of it';
COMMENT ON COLUMN sqlonfhir.resource_key.tags IS 'Exclusive-or of the hashed tag rows';
