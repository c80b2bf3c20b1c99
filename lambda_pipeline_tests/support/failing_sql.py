"""Questions that fail while they run on values that PostgreSQL quotes; each patient's `family` is MARKED."""

MARK = "Zqxmark"
MARKED = f"{MARK} %Z [(' \\ {{: &"
"""A name that no type and no pattern can read."""

_TYPES = [
    "smallint", "integer", "bigint", "numeric", "real", "float8", "boolean", "date", "time", "timestamp", "timestamptz",
    "timetz", "interval", "uuid", "inet", "cidr", "macaddr", "macaddr8", "money", "bit", "varbit", "bytea", "json",
    "jsonb", "jsonpath", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "tsvector", "tsquery",
    "int4range", "numrange", "tsrange", "tstzrange", "daterange", "int4multirange", "oid", "tid", "xid", "text[]",
    "integer[]",
]  # fmt: skip
_EXPRESSIONS = [
    "1 / (length(family) - length(family))",
    "(family || ' ''')::tsvector",
    "family ~ family",
    "regexp_replace(family, family, '')",
    "regexp_match(family, 'a', family)",
    "to_number(family, '999')",
    "to_date(family, 'YYYY')",
    "to_timestamp(family, 'YYYY')",
    "decode(family, 'hex')",
    "decode(family, 'base64')",
    "decode('00', family)",
    "date_trunc(family, now())",
    "date_part(family, now())",
    "now() AT TIME ZONE family",
    "jsonb_path_query('{}', family::jsonpath)",
    "jsonb_set('[1]', ARRAY[family], '1')",
    "jsonb_object(ARRAY[family])",
    "to_jsonb(family)::integer",
    "format(family)",
    "repeat(family, 2000000000)",
    "chr(-length(family))",
    "substring(family FROM 1 FOR -1)",
    "(SELECT p.family FROM patients AS p, generate_series(1, 2))",
    "2147483647 + length(family)",
    "sqrt(-length(family))",
    "ln(length(family) - length(family))",
    "width_bucket(1, 1, 1, length(family))",
    "make_date(length(family), 13, 1)",
    "ARRAY[ARRAY[family], ARRAY[family, family]]",
    "array_fill(family, ARRAY[-1])",
    "json_array_length(to_json(family))",
    "(birth_date::date + 30000000)",
    "(birth_date::date + 3000000)",
    "(birth_date::timestamp - interval '5000 years')",
    "string_to_array(family, ' ')::integer[]",
    "ntile(0) OVER (ORDER BY family)",
    "nth_value(family, 0) OVER (ORDER BY family)",
]

FAILING = [
    *(f"SELECT family::{name} AS x FROM patients" for name in _TYPES),
    *(f"SELECT {each} AS x FROM patients" for each in _EXPRESSIONS),
    "SELECT r.a FROM patients, jsonb_to_record(jsonb_build_object('a', family)) AS r(a integer)",
    "SELECT e.key FROM patients, json_each(to_json(family)) AS e",
    "SELECT o.key FROM patients, jsonb_object_keys(to_jsonb(family)) AS o(key)",
    "SELECT n FROM patients, generate_series(1, 2, length(family) - length(family)) AS n",
    "SELECT family FROM patients LIMIT (SELECT -max(length(family)) FROM patients)",
    "SELECT percentile_cont(2) WITHIN GROUP (ORDER BY length(family)) AS x FROM patients",
    "SELECT 1 AS x FROM patients WHERE family::integer = 1",
    "SELECT count(*) AS x FROM patients GROUP BY family::date",
    "WITH a AS (SELECT family::uuid AS x FROM patients) SELECT count(x) AS x FROM a",
]
