"""Files and streams hold every value exactly, appear whole, and are their owner's alone."""

import csv
import hashlib
import io
import json
import stat
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambda_pipeline.errors import BadRequestError, ConfigurationError
from lambda_pipeline.serving import cells, export
from lambda_pipeline.serving.answer import Answer
from lambda_pipeline.views.view import Column

COLUMNS = (
    Column("id", "text"),
    Column("value", "numeric"),
    Column("scaled", "numeric(12,2)"),
    Column("n", "bigint"),
    Column("ok", "boolean"),
    Column("at", "timestamptz"),
    Column("on", "date"),
    Column("raw", "bytea"),
    Column("codes", "jsonb"),
)
ROWS: list[tuple[Any, ...]] = [
    (
        'quo"te,\r\nline', Decimal("1E+3"), Decimal("7.50"), 2**63 - 1, True,
        datetime(2026, 1, 31, 8, 0, 0, 1, tzinfo=UTC), date(1970, 1, 31), b"\x00\xff",
        {"a": [Decimal("1.10"), None, "ü"]},
    ),
    (
        "", Decimal("0.1000000000000000055511"), Decimal("-0.01"), 0, False, datetime(1, 1, 1, tzinfo=UTC), date.max,
        b"", "x",
    ),
    (None,) * 9,
    ("=1+1", Decimal("-0.00"), None, None, None, None, None, None, []),
]  # fmt: skip


def answer(rows: list[tuple[Any, ...]] = ROWS, columns: tuple[Column, ...] = COLUMNS) -> Answer:
    return Answer(
        rows=rows, columns=columns, row_count=len(rows), generation=1, mode="batch",
        valid_as_of=datetime(2026, 1, 31, tzinfo=UTC), sources=("batch generation 1",),
    )  # fmt: skip


def streamed(format_: Any, asked: Answer | None = None) -> str:
    out = io.StringIO()
    export.stream(asked or answer(), format_, out)
    return out.getvalue()


def test_csv_holds_every_value_as_written(tmp_path: Path) -> None:
    path = export.write(answer(), tmp_path, name="result", format="csv")
    text = path.read_bytes().decode("utf-8")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["id", "value", "scaled", "n", "ok", "at", "on", "raw", "codes"],
        ['quo"te,\r\nline', "1000", "7.50", "9223372036854775807", "true", "2026-01-31T08:00:00.000001+00:00",
         "1970-01-31", "AP8=", '{"a": [1.10, null, "ü"]}'],
        ["", "0.1000000000000000055511", "-0.01", "0", "false", "0001-01-01T00:00:00+00:00", "9999-12-31", "", '"x"'],
        [""] * 9,
        ["=1+1", "-0.00", "", "", "", "", "", "", "[]"],
    ]  # fmt: skip
    assert text.count("\r\n") == len(ROWS) + 1 + 1


def test_csv_tells_missing_from_empty(tmp_path: Path) -> None:
    asked = answer([("", "a"), (None, "b")], (Column("t", "text"), Column("u", "text")))
    assert export.write(asked, tmp_path, name="r", format="csv").read_bytes() == b't,u\r\n"",a\r\n,b\r\n'


def test_postgresql_reads_the_csv_back_as_it_was(tmp_path: Path, postgres_url: str) -> None:
    path = export.write(answer(), tmp_path, name="r", format="csv")
    with psycopg.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE r (id text, value numeric, scaled numeric(12,2), n bigint, ok boolean,"
            ' at timestamptz, "on" date, raw text, codes jsonb)'
        )
        with cursor.copy("COPY r FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(path.read_bytes())
        cursor.execute("SELECT id, value::text, scaled, n, ok, codes::text FROM r")
        assert cursor.fetchall() == [
            (ROWS[0][0], "1000", Decimal("7.50"), 2**63 - 1, True, '{"a": [1.10, null, "ü"]}'),
            ("", "0.1000000000000000055511", Decimal("-0.01"), 0, False, '"x"'),
            (None,) * 6,
            ("=1+1", "0.00", None, None, None, "[]"),
        ]


def test_parquet_holds_every_value_with_its_type(tmp_path: Path) -> None:
    table = pq.read_table(export.write(answer(), tmp_path, name="r", format="parquet"))
    assert table.schema.field("value").type == pa.decimal128(26, 22)
    assert table.schema.field("scaled").type == pa.decimal128(12, 2)
    assert table.schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("on").type == pa.date32()
    assert table.schema.field("n").type == pa.int64()
    assert table.schema.field("value").metadata == {b"postgresql_type": b"numeric"}
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert [row[:8] for row in rows] == [row[:8] for row in ROWS]
    assert [row[8] for row in rows] == ['{"a": [1.10, null, "ü"]}', '"x"', None, "[]"]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([], pa.decimal128(38, 0)),
        (["1E+40"], pa.decimal256(41, 0)),
        (["1E+40", "1E-40"], pa.string()),
        (["NaN", "1"], pa.string()),
        (["0.000"], pa.decimal128(4, 3)),
    ],
)
def test_parquet_widens_a_number_until_nothing_is_lost(tmp_path: Path, values: list[str], type_: Any) -> None:
    asked = answer([(Decimal(text),) for text in values], (Column("v", "numeric"),))
    table = pq.read_table(export.write(asked, tmp_path, name="r", format="parquet"))
    assert table.schema.field("v").type == type_
    read = table.column("v").to_pylist()
    assert [str(Decimal(value)) for value in read] == [str(Decimal(f"{Decimal(text):f}")) for text in values]


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_no_rows_make_a_file_with_columns(tmp_path: Path, format_: Any) -> None:
    path = export.write(answer([]), tmp_path, name="r", format=format_)
    names = path.read_text().strip().split(",") if format_ == "csv" else pq.read_table(path).column_names
    assert names == [column.name for column in COLUMNS]


def test_the_manifest_describes_the_file_and_holds_no_rows(tmp_path: Path) -> None:
    path = export.write(answer(), tmp_path / "a" / "b", name="cohort-1", format="csv")
    text = (tmp_path / "a" / "b" / "cohort-1.manifest.json").read_text()
    manifest = json.loads(text)
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (manifest["file"], manifest["rows"], manifest["bytes"]) == ("cohort-1.csv", 4, path.stat().st_size)
    assert manifest["columns"][1] == {"name": "value", "type": "numeric"}
    assert manifest["answer"]["valid_as_of"] == "2026-01-31T00:00:00+00:00"
    assert datetime.fromisoformat(manifest["written_at"]).tzinfo is not None
    assert "=1+1" not in text


def test_files_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    path = export.write(answer(), tmp_path / "new" / "deep", name="r", format="parquet")
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.with_name("r.manifest.json"))]
    assert modes == [0o600, 0o600]
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path.parent.parent)] == [0o700, 0o700]


def test_a_write_that_fails_leaves_the_old_file_and_no_scraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export.write(answer(), tmp_path, name="r", format="csv")
    before = path.read_bytes()

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        export.write(answer([]), tmp_path, name="r", format="csv")
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["r.csv", "r.manifest.json"]


@pytest.mark.parametrize("name", ["", "../r", "a/b", ".hidden", "-r", "a\x00b", "x" * 200])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequestError, match="cannot be the name"):
        export.write(answer(), tmp_path, name=name, format="csv")


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="csv, parquet"):
        export.write(answer(), tmp_path, name="r", format="xlsx")  # type: ignore[arg-type]
    with pytest.raises(BadRequestError, match="table, csv, jsonl"):
        streamed("xml")


def test_json_lines_keep_all_digits() -> None:
    lines = streamed("jsonl").splitlines()
    read = [json.loads(line, parse_float=str, parse_int=str) for line in lines]
    assert [row["value"] for row in read] == ["1000", "0.1000000000000000055511", None, "-0.00"]
    assert read[0]["codes"] == {"a": ["1.10", None, "ü"]}
    assert (read[0]["ok"], read[0]["raw"], read[0]["at"]) == (True, "AP8=", "2026-01-31T08:00:00.000001+00:00")
    assert (read[1]["id"], read[2]["id"]) == ("", None)


def test_json_has_no_nan() -> None:
    strict = json.loads(cells.to_json([Decimal("NaN"), float("inf"), 1.5]), parse_constant=pytest.fail)
    assert strict == ["NaN", "inf", 1.5]


def test_csv_to_a_stream_ends_lines_as_the_stream_does() -> None:
    asked = answer([("a",)], (Column("t", "text"),))
    assert streamed("csv", asked) == "t\na\n"


def test_a_table_shows_rows_to_people() -> None:
    asked = answer([("p1", Decimal("6.50")), (None, None)], (Column("id", "text"), Column("value", "numeric")))
    assert streamed("table", asked) == "id  value\n──  ─────\np1   6.50\n∅       ∅\n"
