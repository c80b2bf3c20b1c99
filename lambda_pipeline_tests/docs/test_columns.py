"""The table of HAPI's columns in docs/hapi.md, against tables that HAPI's versions wrote and against what is read."""

import gzip
import re
from pathlib import Path

import pytest

from lambda_pipeline.demo.hapi import server
from lambda_pipeline.source.columns import TABLES, USED

ROOT = Path(__file__).parents[2]
DATA = ROOT / "lambda_pipeline_tests" / "data"
DUMPS = sorted(DATA.rglob("tables.sql.gz"))
DEMO = Path(server.__file__).parent / "schema.sql"


def documented() -> dict[str, dict[str, bool]]:
    """Each column by table, and whether the page says that it is read."""
    text = (ROOT / "docs" / "hapi.md").read_text()
    section = text.partition("\n## Columns\n")[2].partition("\n## ")[0]
    found: dict[str, dict[str, bool]] = {}
    for table, columns, said in re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE):
        for column in re.findall(r"`(\w+)`", columns):
            assert column not in found.get(table, {}), f"{table}.{column} stands there twice"
            found.setdefault(table, {})[column] = not said.startswith("not read: ")
    return found


def written(sql: str) -> dict[str, set[str]]:
    """The columns of every table that a dump creates."""
    return {
        table: set(re.findall(r"^ +(\w+) [a-z]", body, re.MULTILINE))
        for table, body in re.findall(r"CREATE TABLE (?:public\.)?(\w+) \(\n(.*?)\n\);", sql, re.DOTALL)
    }


@pytest.mark.parametrize("dump", [*DUMPS, DEMO], ids=lambda path: path.parent.name)
def test_every_column_of_the_tables_that_are_read_is_accounted_for(dump: Path) -> None:
    raw = dump.read_bytes()
    tables = written((gzip.decompress(raw) if dump.suffix == ".gz" else raw).decode())
    known = documented()
    assert {"hfj_resource", "hfj_res_ver", "hfj_res_tag", "hfj_tag_def"} <= tables.keys()
    unknown = {
        f"{table}.{column}" for table in TABLES for column in tables.get(table, ()) if column not in known[table]
    }
    assert not unknown - {f"{table}.CONSTRAINT" for table in TABLES}


def test_the_columns_that_the_page_says_are_read_are_those_that_are() -> None:
    said = {table: {column for column, read in columns.items() if read} for table, columns in documented().items()}
    assert said == {table: set(columns) for table, columns in USED.items()}
