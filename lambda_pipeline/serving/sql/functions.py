"""The functions that an analyst's SELECT may call: PostgreSQL's own that compute a value from their arguments.

Everything else is refused: what reads files, settings, catalogs or other servers, runs SQL given as text, waits, locks,
signals or writes, and functions created by users of the database. A name that PostgreSQL would take for a call without
parentheses (`(x).name`, `alias.name`) is refused by `is_refused_name`.
"""


def words_of(text: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(text.split())


KEYWORDS_BEFORE_PARENTHESIS = words_of(
    """
    all and any array as asymmetric between by case columns cross cube desc distinct else escape except exists fetch
    filter first following from full group groups having ilike in inner intersect is isnull join lateral left like
    limit materialized natural next not notnull offset on only or order outer over partition preceding range
    recursive right rollup row rows select set sets similar some symmetric then to union using values when where
    with within zone
    """
)
"""Key words that a parenthesis may follow and that are no call."""

TYPES = words_of(
    """
    bit bool boolean bpchar bytea char character date dec decimal float float4 float8 int int2 int4 int8 integer
    interval numeric precision real text time timestamp timestamptz timetz varbit varchar varying
    """
)
"""Types that may be written with a modifier or as a call: `numeric(10,2)`, `date(x)`."""

FUNCTIONS = words_of(
    """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every grouping
    json_agg json_object_agg jsonb_agg jsonb_object_agg max min mode percentile_cont percentile_disc range_agg
    range_intersect_agg regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
    stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance

    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number

    abs acos asin atan atan2 cbrt ceil ceiling cos cot degrees div erf exp factorial floor gcd lcm ln log log10
    min_scale mod pi power radians random round scale sign sin sqrt tan trim_scale trunc width_bucket

    ascii bit_length btrim casefold char_length character_length chr concat concat_ws decode encode format initcap
    left length lower lpad ltrim md5 normalize octet_length overlay position quote_literal quote_nullable
    regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim sha224 sha256 sha384 sha512
    split_part starts_with string_to_array string_to_table strpos substr substring to_char to_hex to_number
    translate trim upper

    convert_from convert_to phraseto_tsquery plainto_tsquery to_tsquery to_tsvector ts_rank websearch_to_tsquery

    age date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days justify_hours
    justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps timezone to_date
    to_timestamp transaction_timestamp statement_timestamp

    case coalesce greatest least nullif num_nonnulls num_nulls cast

    array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_reverse array_sort array_to_string array_upper cardinality
    generate_series generate_subscripts trim_array unnest

    daterange int4range int8range isempty lower_inc lower_inf numrange range_merge tsrange tstzrange upper_inc
    upper_inf

    array_to_json json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
    json_each json_each_text json_extract_path json_extract_path_text json_object_keys json_strip_nulls
    json_to_record json_to_recordset json_typeof jsonb_array_elements jsonb_array_elements_text jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text
    jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query
    jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_typeof row_to_json to_json to_jsonb

    bernoulli system
    """
)
"""Functions that may be called; `bernoulli` and `system` are TABLESAMPLE's."""

CALLABLE = KEYWORDS_BEFORE_PARENTHESIS | TYPES | FUNCTIONS

_REFUSED_PREFIXES = (
    "pg_", "lo_", "dblink", "txid_", "inet_server_", "inet_client_", "to_reg", "regclass", "regcollation",
    "regconfig", "regdictionary", "regnamespace", "regoper", "regproc", "regrole", "regtype", "binary_upgrade_",
    "brin_", "gin_",
)  # fmt: skip
_REFUSED_NAMES = words_of(
    """
    amvalidate current_schemas current_setting currval cursor_to_xml cursor_to_xmlschema database_to_xml
    database_to_xml_and_xmlschema database_to_xmlschema fmgr_c_validator fmgr_internal_validator fmgr_sql_validator
    information_schema lastval loread lowrite mxid_age nextval obj_description oidvectortypes plpgsql_validator
    query_to_xml query_to_xml_and_xmlschema query_to_xmlschema row_security_active schema_to_xml
    schema_to_xml_and_xmlschema schema_to_xmlschema set_config setseed setval table_to_xml table_to_xml_and_xmlschema
    table_to_xmlschema ts_debug ts_rewrite ts_stat ts_token_type
    """
)
SESSION_WORDS = words_of("current_catalog current_role current_schema current_user session_user system_user user")
"""Key words that PostgreSQL reads as calls: they tell roles and the database."""


def is_refused_name(name: str) -> bool:
    """Whether a name may not stand anywhere, in quotes or not: catalogs, and functions that do more than compute.

    Not only calls count: PostgreSQL runs `pg_sleep` for `SELECT (5).pg_sleep` and for `SELECT f.pg_sleep FROM
    generate_series(5, 5) f`.
    """
    lowered = name.lower()
    return lowered in _REFUSED_NAMES or lowered.startswith(_REFUSED_PREFIXES)
