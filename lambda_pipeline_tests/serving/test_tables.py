"""Tables for terminals line up, and nothing in the data steers the terminal."""

from lambda_pipeline.console import render


def test_numbers_are_right_aligned_and_missing_values_are_seen() -> None:
    text = render(["name", "n"], [["Ann", "5"], [None, "10"], ["", None]], right=[1])
    assert text.splitlines() == [
        "name   n",
        "────  ──",
        "Ann    5",
        "∅     10",
        "       ∅",
    ]


def test_long_cells_are_cut_to_the_width() -> None:
    assert render(["t"], [["x" * 41], ["x" * 40]]).splitlines()[2:] == ["x" * 39 + "…", "x" * 40]


def test_wide_and_combining_characters_keep_columns_in_line() -> None:
    lines = render(["a", "b"], [["日本", "x"], ["e\u0301", "x"], ["abcd", "x"]]).splitlines()[2:]
    assert lines == ["日本  x", "e\u0301     x", "abcd  x"]
    assert render(["a"], [["日" * 30]], cell_width=10).splitlines()[2] == "日日日日…"


def test_control_characters_are_shown_not_sent() -> None:
    text = render(["a\x1b"], [["\x1b[31mred\x07"], ["one\ntwo\r"], ["\u202eevil"], ["\x9b"]])
    assert not any(character in text for character in "\x1b\x07\r\u202e\x9b")
    assert len(text.splitlines()) == 6
    assert "\\x1b[31mred\\x07" in text


def test_a_table_without_rows_has_its_header() -> None:
    assert render(["a", "b"], []).splitlines() == ["a  b", "─  ─"]
    assert render([], []) == ""
