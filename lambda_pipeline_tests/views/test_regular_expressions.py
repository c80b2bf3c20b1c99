"""Regular expressions of `matches()` mean in PostgreSQL what they mean elsewhere, or are refused."""

import re

import pytest

from lambda_pipeline.database import Connection
from lambda_pipeline.views.regular_expressions import RegularExpressionError, to_postgresql

TEXTS = ("", "a", "ab", "a b", "a\nb", "1", "٣", "é", "a.b", "[x]", "\\", "{1}", "aaaa", "A_9", "-", "^", "a-b]")


@pytest.mark.parametrize(
    "pattern",
    ["a", "^a$", "a.b", r"\d", r"\D", r"\w+", r"\W", r"\s", r"\S+$", r"\bb", r"a\Bb", r"a\.b", r"[\d\w]", r"[^\d]",
     r"[a\-b]", r"[\[x]", r"[\]]", r"\[x\]", r"\\", r"\{1\}", "a{2,3}", "a{4}", "a{2,}", "(a|b)+?", "(?:ab)", "a(?= b)",
     "^(?!a)", r"\t|\n", "[-a]", "[a^]", "^$"],
)  # fmt: skip
def test_it_finds_the_same_texts_as_python(connection: Connection, pattern: str) -> None:
    rows = connection.execute(
        'SELECT t FROM unnest(%(texts)s::text[]) t WHERE t COLLATE "C" ~ %(pattern)s',
        {"texts": list(TEXTS), "pattern": to_postgresql(pattern)},
    )
    assert {text for (text,) in rows} == {text for text in TEXTS if re.search(pattern, text, re.ASCII | re.DOTALL)}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("(", "does not parse"), ("a**", "does not parse"), ("a{2}{3}", "does not parse"), ("(?i)a", "not supported"),
     ("(?P<x>a)", "not supported"), ("(?<=a)b", "not supported"), (r"(a)\1", "not supported"), ("a{256}", "at most"),
     ("a{", "for a brace"), ("[]a]", "for a bracket"), (r"[\D]", "not supported"), (r"\Z", "not supported")],
)  # fmt: skip
def test_what_dialects_read_differently_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(RegularExpressionError, match=reason):
        to_postgresql(pattern)
