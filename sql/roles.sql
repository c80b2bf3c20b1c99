-- Rights, for a DBA to run once in HAPI's database, as a superuser or its owner:  psql -d hapi -f sql/roles.sql
-- May be run again at any time; changes nothing that is as it should be. An error leaves everything as it was.
--
-- An owner also needs CREATEROLE, or both roles made by somebody who has it and GRANT lambda_pipeline TO owner. Then the
-- owner is a member of lambda_pipeline.
--
--   lambda_pipeline          refresh and capture: reads HAPI's tables, owns schema sqlonfhir
--   lambda_pipeline_reader   serving: reads both, writes nothing
--
-- Neither has a password yet: \password lambda_pipeline, or whatever pg_hba.conf asks for.
-- HAPI's tables are expected in schema public; if they are elsewhere, change hapi_schema below in both places.
--
-- Bodies that HAPI 6.10 or older wrote may lie in large objects, which a GRANT on tables does not open. Where
-- `lambda-pipeline check` says so: let HAPI move them ($reindex with optimizeStorage), or connect as their owner.

\set ON_ERROR_STOP on
BEGIN;

DO $$
DECLARE
    owner_lacks text := format('role %s is neither a superuser nor has it CREATEROLE', current_user);
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lambda_pipeline') THEN
        CREATE ROLE lambda_pipeline LOGIN;
        COMMENT ON ROLE lambda_pipeline IS 'Batch and speed layer of lambda_pipeline: reads HAPI, owns schema sqlonfhir';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lambda_pipeline_reader') THEN
        CREATE ROLE lambda_pipeline_reader LOGIN;
        COMMENT ON ROLE lambda_pipeline_reader IS 'Serving layer of lambda_pipeline: reads HAPI and schema sqlonfhir';
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = owner_lacks, HINT = format(
        'Let a DBA run this file, or run first: CREATE ROLE lambda_pipeline LOGIN; CREATE ROLE lambda_pipeline_reader '
        'LOGIN; GRANT lambda_pipeline TO %I', current_user);
END
$$;

-- What lambda_pipeline owns can be given to it, and its rights to readers, by its members only.
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        SET LOCAL client_min_messages = 'warning';
        BEGIN
            EXECUTE format('GRANT lambda_pipeline TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            IF NOT pg_has_role(current_user, 'lambda_pipeline', 'USAGE') THEN
                RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
                    MESSAGE = format('role %s is not a member of lambda_pipeline', current_user),
                    HINT = format('Let a DBA run this file, or run first: GRANT lambda_pipeline TO %I', current_user);
            END IF;
        END;
    END IF;
END
$$;

-- CONNECT and TEMPORARY: a recompute (mode source) fills temporary tables. CREATE: sql/schema.sql runs with every refresh.
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO lambda_pipeline, lambda_pipeline_reader', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO lambda_pipeline', current_database());
END
$$;

-- HAPI's tables, for reading only. The last two are read only where older versions of HAPI have written.
DO $$
DECLARE
    hapi_schema CONSTANT text := 'public';
    hapi_table text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO lambda_pipeline, lambda_pipeline_reader', hapi_schema);
    FOREACH hapi_table IN ARRAY ARRAY['hfj_resource', 'hfj_res_ver', 'hfj_res_tag', 'hfj_tag_def', 'hfj_forced_id',
                                    'hfj_res_ver_prov'] LOOP
        IF to_regclass(format('%I.%I', hapi_schema, hapi_table)) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON %I.%I TO lambda_pipeline, lambda_pipeline_reader', hapi_schema, hapi_table);
        END IF;
    END LOOP;
END
$$;

-- The batch layer's schema: lambda_pipeline makes, fills and drops its tables, readers read whatever is in it. What
-- somebody else made there before, by sql/schema.sql or a refresh as another role, becomes lambda_pipeline's.
DO $$
DECLARE
    relation record;
BEGIN
    IF to_regnamespace('sqlonfhir') IS NULL THEN
        CREATE SCHEMA sqlonfhir AUTHORIZATION lambda_pipeline;
    ELSIF (SELECT nspowner <> 'lambda_pipeline'::regrole FROM pg_namespace WHERE nspname = 'sqlonfhir') THEN
        ALTER SCHEMA sqlonfhir OWNER TO lambda_pipeline;
    END IF;
    FOR relation IN
        SELECT format('%s sqlonfhir.%I', CASE relkind WHEN 'r' THEN 'TABLE' ELSE 'VIEW' END, relname) AS name
          FROM pg_class
         WHERE relnamespace = 'sqlonfhir'::regnamespace AND relkind IN ('r', 'v')
           AND relowner <> 'lambda_pipeline'::regrole
    LOOP
        EXECUTE format('ALTER %s OWNER TO lambda_pipeline', relation.name);
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA sqlonfhir TO lambda_pipeline_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA sqlonfhir TO lambda_pipeline_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE lambda_pipeline IN SCHEMA sqlonfhir GRANT SELECT ON TABLES TO lambda_pipeline_reader;

-- What one question may take from the server that HAPI needs too: a sort writes what does not fit into work_mem to
-- temporary files. A value that somebody chose stays. Only a superuser, or a role with SET on it, sets temp_file_limit.
DO $$
DECLARE
    chosen record;
BEGIN
    FOR chosen IN
        SELECT name, value, format('ALTER ROLE lambda_pipeline_reader SET %s = %L', name, value) AS statement
          FROM (VALUES ('work_mem', '32MB'), ('temp_file_limit', '4GB')) AS wanted (name, value)
         WHERE NOT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS config
                            WHERE setrole = 'lambda_pipeline_reader'::regrole AND config LIKE wanted.name || '=%')
    LOOP
        BEGIN
            EXECUTE chosen.statement;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'questions have no limit: let a superuser run %', chosen.statement;
        END;
    END LOOP;
END
$$;

COMMIT;
