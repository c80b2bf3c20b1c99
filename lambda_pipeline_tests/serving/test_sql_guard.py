"""The guard lets questions through as written, and nothing that writes, waits, or reads what is no view."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.sql.functions import CALLABLE, FUNCTIONS, is_refused_name
from lambda_pipeline.serving.sql.guard import GuardedSelect, guard

RELATIONS = ("patient_demographics", "condition_simple")

ALLOWED = [
    "SELECT 1",
    "select * from patient_demographics;",
    "SELECT * FROM Patient_Demographics ; ; -- done; really",
    "SELECT * FROM patient_demographics -- at the end",
    "VALUES (1, 'a'), (2, 'b')",
    "(SELECT 1 AS n) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 3",
    'SELECT gender AS "Größe; DROP" FROM "patient_demographics" AS "P"',
    "SELECT gender, count(*) FILTER (WHERE age > 3) FROM patient_demographics GROUP BY ROLLUP (gender)",
    "SELECT count(*) FROM patient_demographics GROUP BY GROUPING SETS ((gender), (age), ())",
    "WITH male AS (SELECT * FROM patient_demographics) SELECT count(*) FROM male",
    "WITH a(x, y) AS (SELECT 1, 2), b(z) AS MATERIALIZED (SELECT x FROM a) SELECT * FROM a, b",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n",
    "SELECT * FROM (WITH inner_one AS (SELECT 1 AS n) SELECT n FROM inner_one) AS q",
    "WITH a AS (SELECT 1 AS n) SELECT (SELECT max(n) FROM a) AS m, EXISTS (SELECT FROM a) AS e",
    """SELECT p.gender FROM patient_demographics p
       WHERE EXISTS (SELECT FROM condition_simple c WHERE c.patient_id = p.patient_id)""",
    "SELECT * FROM patient_demographics NATURAL LEFT JOIN condition_simple",
    """SELECT * FROM patient_demographics p JOIN condition_simple c USING (patient_id)
       CROSS JOIN LATERAL (SELECT p.age + 1 AS next) AS l""",
    "SELECT e.code, e.n FROM condition_simple, jsonb_array_elements_text(codes) WITH ORDINALITY AS e(code, n)",
    "SELECT month FROM generate_series(date '2026-01-01', '2026-03-01', interval '1 month') AS m(month)",
    """SELECT row_number() OVER (PARTITION BY gender ORDER BY age ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS r,
       lag(age) OVER w AS l FROM patient_demographics WINDOW w AS (ORDER BY age)""",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY age) FROM patient_demographics",
    """SELECT DISTINCT ON (gender) * FROM patient_demographics
       ORDER BY gender, age DESC NULLS LAST FETCH FIRST 5 ROWS ONLY""",
    "SELECT CASE WHEN age > 3 THEN 'a' ELSE 'b' END AS c, coalesce(gender, '?') AS g FROM patient_demographics",
    """SELECT extract(year FROM birth_date) AS y, substring(gender FROM 1 FOR 2) AS s, position('a' IN gender) AS p,
       trim(both ' ' from gender) AS t, cast(age AS numeric(10, 2)) AS n FROM patient_demographics""",
    "SELECT now() AT TIME ZONE 'UTC' AS t, date_trunc('month', now()) AS m, timestamptz '2026-01-01Z' AS z",
    """SELECT codes -> 0 AS a, codes ->> 0 AS b, codes #>> '{0}' AS c, codes ? 'a' AS d, codes @> '["a"]' AS e
       FROM condition_simple""",
    "SELECT (ARRAY[1, 2, 3])[1 : 2] AS a, ARRAY(SELECT age FROM patient_demographics) AS b",
    """SELECT age % 2 AS odd FROM patient_demographics
       WHERE gender ILIKE '%male%' AND gender !~* '^x' AND age BETWEEN 1 AND 99""",
    "SELECT 'it''s' AS a, E'it\\'s; --' AS b, $$it's :x; %$$ AS c, $t$ $$ $t$ AS d, B'1' AS f, 1e5 AS g, .5 AS h",
    "SELECT /* one /* nested ; */ ' */ 1 AS n -- '",
    "SELECT gender FROM patient_demographics EXCEPT SELECT gender FROM patient_demographics",
    "SELECT region, registered FROM (SELECT 1 AS region, 2 AS registered) AS t",
    "SELECT patient_demographics FROM patient_demographics",
    """SELECT t.user, t."user", t."current_user" FROM (SELECT 1 AS user, 2 AS "current_user") AS t""",
    "SELECT crosstab FROM (SELECT 1 AS crosstab) AS t WHERE to_tsvector('simple', 'a b') @@ to_tsquery('a')",
    'SELECT age COLLATE "C" FROM (SELECT gender AS age FROM patient_demographics) AS t',
]

REFUSED = [
    # writes and other statements
    ("", "no statement"),
    (" -- nothing\n /* at all */ ;", "no statement"),
    ("INSERT INTO condition_simple VALUES (1)", "only a SELECT"),
    ("UPDATE condition_simple SET code = 1", "only a SELECT"),
    ("DELETE FROM condition_simple", "only a SELECT"),
    ("MERGE INTO condition_simple USING patient_demographics ON true WHEN MATCHED THEN DELETE", "only a SELECT"),
    ("TRUNCATE condition_simple", "only a SELECT"),
    ("DROP TABLE condition_simple", "only a SELECT"),
    ("CREATE TABLE t AS SELECT 1", "only a SELECT"),
    ("COPY condition_simple TO '/tmp/x'", "only a SELECT"),
    ("COPY (SELECT 1) TO PROGRAM 'id'", "only a SELECT"),
    ("DO $$ BEGIN END $$", "only a SELECT"),
    ("SET search_path = hapi", "only a SELECT"),
    ("SHOW data_directory", "only a SELECT"),
    ("EXPLAIN ANALYZE SELECT 1", "only a SELECT"),
    ("CALL f()", "only a SELECT"),
    ("LISTEN x", "only a SELECT"),
    ("BEGIN", "only a SELECT"),
    ("PREPARE q AS SELECT 1", "only a SELECT"),
    ("LOCK condition_simple", "only a SELECT"),
    ('"select" 1', "only a SELECT"),
    ("WITH gone AS (DELETE FROM condition_simple RETURNING *) SELECT * FROM gone", "DELETE writes"),
    ("WITH a AS (INSERT INTO condition_simple SELECT 1 RETURNING *) SELECT * FROM a", "INSERT|INTO"),
    ("WITH a AS (/**/UPDATE condition_simple SET code = 1 RETURNING *) SELECT * FROM a", "UPDATE writes"),
    ("WITH a AS (MERGE INTO condition_simple USING a ON true WHEN MATCHED THEN DELETE) SELECT 1", "MERGE|INTO"),
    ("WITH a AS (SELECT 1) DELETE FROM condition_simple", "DELETE writes"),
    ("WITH a AS (SELECT 1) INSERT INTO condition_simple SELECT 1", "INSERT|INTO"),
    ("SELECT * INTO stolen FROM condition_simple", "SELECT INTO"),
    ("(SELECT 1) INTO stolen", "SELECT INTO"),
    ("SELECT 1 INTO TEMPORARY stolen", "SELECT INTO"),
    ("SELECT * FROM condition_simple FOR UPDATE", "lock rows"),
    ("SELECT * FROM condition_simple FOR/**/NO KEY UPDATE", "lock rows"),
    ("SELECT * FROM (SELECT * FROM condition_simple FOR SHARE) AS t", "lock rows"),
    # several statements
    ("SELECT 1; SELECT 2", "several statements"),
    ("SELECT 1; DROP TABLE condition_simple; --", "several statements"),
    ("SELECT 1 /* ; */; -- ;\n DELETE FROM condition_simple", "several statements"),
    ("SELECT 1 --\r; DROP TABLE condition_simple", "several statements"),
    ("SELECT 1) AS a; DROP TABLE condition_simple; --", "several statements"),
    ("SELECT 1) AS answer, (SELECT 2", "line 1"),
    ("SELECT 'a\\'; DROP TABLE condition_simple; --'", "several statements"),
    ("SELECT E'a\\\\'; DROP TABLE condition_simple; --'", "several statements"),
    ("SELECT $a$ $b$ $a$; DROP TABLE condition_simple; --$b$", "several statements"),
    # where the text may not be what it seems
    ("SELECT E'a'\n'\\'; DROP TABLE condition_simple; --'", "several statements|line break"),
    ("SELECT 'a'\n'b'", "line break"),
    ("SELECT E'a' -- c\n '\\' || pg_sleep(9) || '", "line break|no end"),
    ("SELECT U&'\\0027'", "unicode escapes"),
    ('SELECT U&"p\\0067_sleep"(9)', "unicode escapes"),
    ("SELECT u&'!0027' UESCAPE '!'", "unicode escapes"),
    ("SELECT 'open", "no end"),
    ("SELECT 'open''", "no end"),
    ("SELECT E'open\\'", "no end"),
    ('SELECT "open', "no end"),
    ("SELECT $x$ open $X$", "no end"),
    ("SELECT 1 /* open /* */", "no end"),
    ('SELECT ""', "empty"),
    ('SELECT "a""b"', "quote in it"),
    ("SELECT $1", "numbered parameter"),
    ("SELECT a$b", "beyond A-Z"),
    ("SELECT größe", "quote it"),
    ("SELECT\u00a0pg_sleep(9)", "beyond A-Z"),
    ("SELECT \u2028 1", "beyond A-Z"),
    ("SELECT 1 \x00", r"U\+0000"),
    ("SELECT `a`", r"U\+0060"),
    ("SELECT \\ 1", r"U\+005C"),
    ("SELECT 1a", "runs into"),
    (f"SELECT 1 AS {'x' * 64}", "63 bytes"),
    ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "nested too deeply|SQL"),
    ("SELECT 1 --" + "x" * 100_001, "longer than"),
    # relations
    ("SELECT * FROM condition_simpel", "did you mean condition_simple"),
    ("SELECT * FROM hfj_resource", "views: condition_simple, patient_demographics"),
    ('SELECT * FROM "Condition_Simple"', "no view Condition_Simple"),
    ("SELECT * FROM public.condition_simple", "schema"),
    ("SELECT * FROM sqlonfhir . condition_simple", "schema"),
    ('SELECT * FROM "sqlonfhir"/**/."condition_simple"', "schema"),
    ("SELECT * FROM db.sqlonfhir.condition_simple", "schema"),
    ("SELECT * FROM information_schema.tables", "information_schema"),
    ("SELECT * FROM pg_authid", "pg_authid"),
    ('SELECT * FROM "PG_AUTHID"', "PG_AUTHID"),
    ("SELECT * FROM pg_catalog.pg_authid", "pg_catalog"),
    ("SELECT * FROM pg_temp.x", "pg_temp"),
    ("TABLE hfj_resource", "only a SELECT"),
    ("SELECT 1 UNION TABLE hfj_resource", "TABLE"),
    ("SELECT (SELECT res_id FROM hfj_resource LIMIT 1)", "no view hfj_resource"),
    ("SELECT * FROM condition_simple, hfj_resource", "no view hfj_resource"),
    ("SELECT * FROM condition_simple JOIN ONLY hfj_resource ON true", "no view hfj_resource|line"),
    ("SELECT * FROM (hfj_resource CROSS JOIN condition_simple)", "no view hfj_resource"),
    ("SELECT 1 WHERE EXISTS (SELECT FROM hfj_resource)", "no view hfj_resource"),
    ("SELECT 1 ORDER BY (SELECT res_id FROM hfj_resource)", "no view hfj_resource"),
    ("SELECT 1 LIMIT (SELECT res_id FROM hfj_resource)", "no view hfj_resource"),
    ("VALUES ((SELECT res_id FROM hfj_resource))", "no view hfj_resource"),
    ("SELECT * FROM condition_simple TABLESAMPLE system ((SELECT 1 FROM hfj_resource))", "no view hfj_resource|line"),
    ("SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM hfj_resource))", "no view hfj_resource"),
    ("SELECT sum(1) OVER (ORDER BY (SELECT 1 FROM hfj_resource))", "no view hfj_resource"),
    ("SELECT ARRAY(SELECT res_id FROM hfj_resource)", "no view hfj_resource"),
    ("WITH a AS (SELECT * FROM hfj_resource) SELECT * FROM a", "no view hfj_resource"),
    # WITH queries that only seem to hide a table
    ("WITH hfj_resource AS (SELECT * FROM hfj_resource) SELECT * FROM hfj_resource", "no view hfj_resource"),
    ("SELECT * FROM (WITH hfj_resource AS (SELECT 1) SELECT * FROM hfj_resource) a, hfj_resource", "no view"),
    ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "no view b"),
    ("(WITH a AS (SELECT 1) SELECT * FROM a) UNION SELECT * FROM a", "no view a"),
    ("SELECT (WITH a AS (SELECT 1) SELECT * FROM a) FROM a", "no view a"),
    ("WITH a AS (WITH b AS (SELECT 1) SELECT * FROM b) SELECT * FROM b", "no view b"),
    ('WITH "A" AS (SELECT 1) SELECT * FROM a', "no view a"),
    ("WITH condition_simple AS (SELECT 1) SELECT * FROM condition_simple", "like a view"),
    ("WITH pg_class AS (SELECT 1) SELECT * FROM pg_class", "pg_class"),
    # functions
    ("SELECT pg_sleep(9)", "pg_sleep"),
    ("SELECT PG_SLEEP (9)", "pg_sleep"),
    ('SELECT "pg_sleep"(9)', "pg_sleep"),
    ('SELECT "PG_SLEEP"(9)', "PG_SLEEP"),
    ("SELECT pg_catalog.pg_sleep(9)", "pg_catalog"),
    ("SELECT pg_sleep/**/(9)", "pg_sleep"),
    ("SELECT pg_sleep--\n(9)", "pg_sleep"),
    ("SELECT (9).pg_sleep", "pg_sleep"),
    ("SELECT (9).wipe", "applied to an expression"),
    ("SELECT (ARRAY[9])[1].wipe", "applied to an expression"),
    ("SELECT f.pg_sleep FROM generate_series(9, 9) f", "pg_sleep"),
    ("SELECT q.ts_stat FROM unnest(ARRAY['SELECT 1']) q", "ts_stat"),
    ("SELECT * FROM pg_ls_dir('.')", "pg_ls_dir"),
    ("SELECT * FROM ROWS FROM (pg_ls_dir('.'))", "pg_ls_dir"),
    ("SELECT * FROM condition_simple, LATERAL pg_read_file(code)", "pg_read_file"),
    ("SELECT * FROM condition_simple ORDER BY pg_sleep(1)", "pg_sleep"),
    ("WITH a AS (SELECT pg_sleep(1)) SELECT 1", "pg_sleep"),
    ("SELECT lo_import('/etc/passwd')", "lo_import"),
    ("SELECT dblink_exec('x', 'y')", "dblink_exec"),
    ("SELECT set_config('search_path', 'x', false)", "set_config"),
    ("SELECT current_setting('data_directory')", "current_setting"),
    ("SELECT query_to_xml('SELECT 1', true, true, '')", "query_to_xml"),
    ("SELECT database_to_xml(true, true, '')", "database_to_xml"),
    ("SELECT nextval('s')", "nextval"),
    ("SELECT txid_current()", "txid_current"),
    ("SELECT public.wipe()", "function with a schema"),
    ("SELECT wipe()", "wipe may not be called"),
    ('SELECT "count "(1)', "may not be called"),
    ('SELECT "Count"(1)', "may not be called"),
    ("SELECT * FROM wipe() AS w(a)", "wipe may not be called"),
    ("SELECT * FROM generate_series(1, 2) AS s(n), wipe() AS w(a)", "wipe may not be called"),
    ("SELECT * FROM wipe() WITH ORDINALITY", "wipe may not be called"),
    ("SELECT wipe(DISTINCT 1) FILTER (WHERE true) OVER ()", "wipe may not be called"),
    ("WITH wipe(a) AS (SELECT 1) SELECT wipe(1) FROM wipe", "wipe may not be called"),
    ("WITH a AS (SELECT 1), wipe(a) AS (SELECT wipe(1)) SELECT 1", "wipe may not be called"),
    ("SELECT * FROM condition_simple c(a)", "need AS"),
    ("SELECT counts(*) FROM condition_simple", "did you mean count"),
    ("SELECT 1 OPERATOR(pg_catalog.+) 2", "pg_catalog|OPERATOR"),
    ("SELECT 1 OPERATOR(public.+) 2", "OPERATOR"),
    ("SELECT 'hfj_resource'::regclass", "regclass"),
    ("SELECT 'a' COLLATE pg_catalog.\"C\"", "pg_catalog"),
    ("SELECT 1::pg_catalog.int4", "pg_catalog"),
    ("SELECT 1::hapi.trap", "type with a schema"),
    ("SELECT cast(1 AS hapi.trap)", "type with a schema"),
    ("SELECT f.to_regclass FROM unnest(ARRAY['hfj_resource']) f", "to_regclass"),
    ('SELECT f."to_regrole" FROM unnest(ARRAY[1]) f', "to_regrole"),
    ("SELECT f.regclassout FROM unnest(ARRAY['hfj_resource']) f", "regclassout"),
    ("SELECT f.row_security_active FROM unnest(ARRAY['hfj_resource']) f", "row_security_active"),
    ("SELECT f.current_schemas FROM unnest(ARRAY[true]) f", "current_schemas"),
    ("SELECT f.ts_debug FROM unnest(ARRAY['a']) f", "ts_debug"),
    ("SELECT f.obj_description FROM unnest(ARRAY[1::oid]) f", "obj_description"),
    ("SELECT current_user", "current_user may not be used"),
    ("SELECT 1 AS n WHERE SESSION_USER = 'x'", "session_user may not be used"),
    ("SELECT user", "user may not be used"),
    ("SELECT 1, current_catalog", "current_catalog may not be used"),
    ("SELECT current_schema", "current_schema may not be used"),
    ("SELECT (current_role)", "current_role may not be used"),
    # parameters
    ("SELECT :_overlay", "underscore"),
    ("SELECT * FROM condition_simple c WHERE a:b", "touches"),
    ("SELECT (ARRAY[1])[1:n]", "touches"),
]


@pytest.fixture(scope="module")
def connection(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A database with two tables; `analyst` may read none, and call no function somebody made."""
    with psycopg.connect(postgres_url) as opened:
        opened.execute(
            """
            CREATE SCHEMA guarded;
            SET LOCAL search_path = guarded, public;
            CREATE TABLE secret (value text);
            CREATE FUNCTION wipe(integer DEFAULT 1) RETURNS integer LANGUAGE sql AS 'SELECT 1';
            REVOKE ALL ON FUNCTION wipe FROM PUBLIC;
            CREATE ROLE guarded_analyst;
            GRANT USAGE ON SCHEMA guarded TO guarded_analyst;
            SET LOCAL ROLE guarded_analyst;
            SET LOCAL statement_timeout = 2000;
            """
        )
        yield opened
        opened.rollback()


Run = Callable[[GuardedSelect, dict[str, Any]], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def run(connection: psycopg.Connection[Any]) -> Run:
    """Runs a guarded statement as the serving layer does: inside of a subquery, over views that are WITH queries."""

    def execute(guarded: GuardedSelect, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        statement = (
            "WITH patient_demographics AS NOT MATERIALIZED (SELECT 'p1' AS patient_id, 'male' AS gender, 40 AS age,"
            " date '1986-01-01' AS birth_date), condition_simple AS NOT MATERIALIZED (SELECT 'p1' AS patient_id,"
            " '44054006' AS code, '[\"a\", \"b\"]'::jsonb AS codes)"
            f" SELECT * FROM ({guarded.text}\n) AS answer"
        )
        try:
            with connection.transaction():
                return connection.execute(statement.encode(), parameters).fetchall()
        finally:
            connection.execute("SELECT 1")

    return execute


@pytest.mark.parametrize("statement", ALLOWED)
def test_a_question_runs_as_written(run: Run, statement: str) -> None:
    guarded = guard(statement, RELATIONS)
    assert isinstance(run(guarded, {}), list)
    assert guarded.text.replace("%%", "%") == statement[: len(guarded.text.replace("%%", "%"))]


@pytest.mark.parametrize(("statement", "said"), REFUSED)
def test_everything_else_is_refused_and_says_why(statement: str, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        guard(statement, RELATIONS)


def test_the_views_read_are_named_once_each() -> None:
    guarded = guard(
        "WITH x AS (SELECT * FROM Condition_simple) SELECT * FROM x, patient_demographics, condition_simple", RELATIONS
    )
    assert guarded.views_used == ("condition_simple", "patient_demographics")


def test_a_name_becomes_a_parameter_only_where_it_is_one(run: Run) -> None:
    guarded = guard(
        """SELECT :who AS a, ':who' AS b, $$:who$$ AS c, E'\\':who' AS d, :since::date AS e, ':x'::text AS ":who",
        :limit + 1 /* :who */ AS f, '%(who)s 100%' AS g, 7 %3 AS h -- :who %s
        WHERE 'x' <> :who;""",
        RELATIONS,
    )
    assert guarded.parameters == ("who", "since", "limit")
    row = run(guarded, {"who": "it's", "since": "2026-01-31", "limit": 1})[0]
    assert [str(value) for value in row] == [
        "it's", ":who", ":who", "':who", "2026-01-31", ":x", "2", "%(who)s 100%", "1",
    ]  # fmt: skip


def test_an_error_points_at_line_and_column() -> None:
    with pytest.raises(BadRequestError, match=re.escape("line 3, column 4: pg_sleep")):
        guard("SELECT 'a\nb',\n   pg_sleep(1)", RELATIONS)
    with pytest.raises(BadRequestError, match="line 2"):
        guard("SELECT /* ' */ 'a'\nFROM WHERE", RELATIONS)


def test_a_parameter_may_have_the_name_of_a_key_word(run: Run) -> None:
    guarded = guard("SELECT :select::int AS a LIMIT :limit OFFSET :from", RELATIONS)
    assert run(guarded, {"select": 7, "limit": 1, "from": 0}) == [(7,)]


def test_functions_that_may_be_called_are_postgresqls_own(connection: psycopg.Connection[Any]) -> None:
    """Each is of pg_catalog (or syntax), none is volatile but random, and none takes a relation by its name."""
    rows = connection.execute(
        """
        SELECT proname, bool_or(provolatile = 'v'), bool_or('regclass'::regtype = ANY (proargtypes::oid[]))
        FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (%(names)s)
          AND prorettype <> 'tsm_handler'::regtype GROUP BY proname
        """,
        {"names": sorted(FUNCTIONS)},
    ).fetchall()
    assert {name for name, volatile, _ in rows if volatile} == {"random"}
    assert not [name for name, _, reads_relations in rows if reads_relations]
    syntax = {"case", "cast", "coalesce", "greatest", "grouping", "least", "nullif", "trim"}
    sampling = {"bernoulli", "system"}
    assert FUNCTIONS - {name for name, _, _ in rows} - syntax - sampling == set()


PURE = {
    "aclexplode", "array_shuffle", "enum_first", "enum_last", "enum_range", "money", "phraseto_tsquery",
    "plainto_tsquery", "random_normal", "to_tsquery", "to_tsvector", "uuidv7", "websearch_to_tsquery", "xml",
    "xml_is_well_formed",
}  # fmt: skip
"""Stable or volatile by their settings or by chance alone; they read nothing of the server."""


def test_no_function_that_reads_the_server_can_be_called_as_an_attribute(connection: psycopg.Connection[Any]) -> None:
    """`f.to_regclass` calls the function where `f` has no column of that name."""
    rows = connection.execute(
        """
        SELECT DISTINCT proname FROM pg_proc
         WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND provolatile <> 'i'
           AND pronargs >= 1 AND pronargs - pronargdefaults <= 1 AND 'internal'::regtype <> ALL (proargtypes::oid[])
        """
    ).fetchall()
    reachable = {name for (name,) in rows if not is_refused_name(name)} - CALLABLE - PURE
    assert {name for name in reachable if not name.endswith(("in", "out", "recv", "send"))} == set()


PIECES = [
    "secret", "wipe()", "wipe(1)", "(1).wipe", "wipe", "x", "v", "1", "*", ",", "(", ")", "'", "''", "E'", "\\",
    "\\'", '"', "$$", "$a$", "--", "\n", "/*", "*/", " ", "AS", "FROM secret", "SELECT wipe()",
    "UNION SELECT value FROM secret", "WITH secret AS (SELECT 1 AS value)", "WITH x AS (SELECT 1)",
    ", secret AS (SELECT 1)", "AS x", "AS wipe(a)", ".", ":a", "::text", "LATERAL", "JOIN", "CROSS JOIN",
    "(SELECT * FROM secret)", "(SELECT * FROM secret) AS s", "AS secret", "U&'", "n'", "b'", "IN", "x.wipe",
    "wipe(a) AS (SELECT 1)", "RECURSIVE", "ORDER BY", "secret.value", "ONLY", "ROWS FROM",
]  # fmt: skip
HOLE = st.lists(st.sampled_from(PIECES), max_size=7).map(" ".join) | st.lists(st.sampled_from(PIECES), max_size=7).map(
    "".join
)
SHAPES = [
    "SELECT {0} FROM patient_demographics AS v {1}",
    "SELECT {0}, '{1}' AS y FROM patient_demographics AS v",
    "SELECT 1 AS z, E'{0}' AS x {1}",
    "SELECT $$ {0} $$ AS x, {1} AS y",
    "WITH secret AS (SELECT 1 AS value), x AS (SELECT {0}) SELECT * FROM x {1}",
    "SELECT * FROM (WITH secret AS (SELECT 1 AS value) SELECT {0} FROM secret) AS q {1}",
    "WITH x AS (SELECT 1 AS value) {0} SELECT * FROM x {1}",
    "WITH RECURSIVE x AS (SELECT 1 AS value) {0} SELECT 1 AS z {1}",
    "/* {0} */ SELECT 1 AS z {1}",
    '/* {0} */ SELECT "{1}" AS z',
    "SELECT 1 AS z -- {0}\n, {1}",
    "SELECT * FROM unnest(ARRAY[1]) AS x {0} {1}",
]


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=st.sampled_from(SHAPES), first=HOLE, second=HOLE)
def test_no_spelling_reaches_what_is_no_view(run: Run, shape: str, first: str, second: str) -> None:
    """Whatever the guard lets through, the server never finds a table or function beyond the views in it."""
    try:
        guarded = guard(shape.format(first, second), RELATIONS)
    except BadRequestError:
        return
    try:
        run(guarded, dict.fromkeys(guarded.parameters, "1"))
    except psycopg.errors.InsufficientPrivilege as reached:
        pytest.fail(f"{reached}: {guarded.text}")
    except psycopg.Error:
        pass
