"""The texts that `compile` composes a statement from."""

PERSONS = """\
  SELECT {id} AS _person, {sex} AS _sex,
         {born_first} AS _born_first,
         {born_last} AS _born_last
    FROM (SELECT v.*, {birth} AS _date FROM {view} AS v WHERE {id} IS NOT NULL) AS v"""

SOURCE = """\
  SELECT v.*,
         {first} AS _first,
         {last} AS _last
    FROM (SELECT v.*, {person} AS _person, {date} AS _date FROM {view} AS v) AS v"""

ONE_EVENT = """\
  SELECT v._person, {end}(v._first) AS _first, {end}(v._last) AS _last
    FROM {source} AS v
   WHERE {sure} AND v._first IS NOT NULL
   GROUP BY v._person"""

EVERY_EVENT = """\
  SELECT DISTINCT v._person, v._first, v._last
    FROM {source} AS v
   WHERE {sure} AND v._first IS NOT NULL"""

CANDIDATES_WITHOUT_INDEX = """\
  SELECT row_number() OVER () AS _candidate, p.*
    FROM {persons} AS p"""

CANDIDATES = """\
  SELECT row_number() OVER () AS _candidate, p.*, i._first, i._last,
         {age_low} AS _age_low,
         {age_high} AS _age_high
    FROM {persons} AS p JOIN {events} AS i ON i._person = p._person"""

CRITERION = """\
  SELECT e._candidate, count({counted}) AS _n
    FROM {candidates} AS e JOIN {source} AS v ON v._person = e._person
   WHERE {sure}
   GROUP BY e._candidate"""

RULE = """\
  SELECT e._candidate
    FROM {candidates} AS e{joins}
   WHERE {holds}"""

JOIN = """
    LEFT JOIN {table} AS {alias} ON {alias}._candidate = e._candidate"""

PASSED = """\
  SELECT e._person, e._sex,
         {low} AS _age_low,
         {high} AS _age_high,
         {flags}{steps} AS _steps
    FROM {candidates} AS e{joins}"""

COUNTED = """\
  SELECT _person, min(_sex) AS _sex,
         min(_age_low) FILTER (WHERE _steps = {rules}) AS _age_low,
         min(_age_high) FILTER (WHERE _steps = {rules}) AS _age_high,
         {flags}max(_steps) AS _steps
    FROM {passed}
   GROUP BY _person"""

COUNT_PERSONS = """\
SELECT 'persons' AS part, 0 AS place, CAST(NULL AS text) AS text, CAST(NULL AS integer) AS number,
       count(DISTINCT _person) AS n,
       (SELECT count(*) FROM (SELECT 1 FROM {persons} GROUP BY _person HAVING count(*) > 1) AS repeated) AS m
  FROM {persons}"""

COUNT_CANDIDATES = "SELECT 'candidates', 0, NULL, NULL, count(*), 0 FROM {counted}"

COUNT_RULE = """\
SELECT 'rule', {place}, NULL, NULL, count(*) FILTER (WHERE _steps >= {step}), count(*) FILTER (WHERE NOT {flag})
  FROM {counted}"""

COUNT_CELLS = """\
SELECT 'cell', 0, sex, band, count(*), 0
  FROM (SELECT _sex AS sex, {band} AS band FROM {counted} WHERE _steps = {rules}) AS found
 GROUP BY sex, band"""

COUNT_ROWS = """\
SELECT {part}, {place}, NULL, NULL, count(*), 0
  FROM {source} AS v
 WHERE {condition}"""

COUNT_UNDECIDED_AGES = """\
SELECT 'undecided', {place}, NULL, NULL, count(DISTINCT e._person), 0
  FROM {candidates} AS e
 WHERE NOT {sure} AND {possible}"""

FIND_PERSONS = "SELECT 'person', 0, _person, NULL, 0, 0 FROM {counted} WHERE _steps = {rules}"
