"""A misspelt key word is named, with its place and the key word that was meant."""

import re

import pytest

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.sql.guard import guard
from lambda_pipeline.serving.sql.keywords import closest_keyword


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "SELECT gender, count(*) FROM p GRUOP BY 1",
            "line 1, column 32: GRUOP cannot be read here (did you mean GROUP?)",
        ),
        ("SELECT a\n  FROM p\n GRUOP BY a", "line 3, column 2: GRUOP cannot be read here (did you mean GROUP?)"),
        (
            "SELECT a -- GRUOP\n  FROM p WEHRE a = 1",
            "line 2, column 10: WEHRE cannot be read here (did you mean WHERE?)",
        ),
        ("SELECT a FROM p AS x WEHRE a = 1", "column 22: WEHRE cannot be read here (did you mean WHERE?)"),
        ("SELECT gender FORM p", "column 15: FORM cannot be read here (did you mean FROM?)"),
        ("SELECT a FROM p ORDER YB a", "column 23: YB cannot be read here (did you mean BY?)"),
        ("SELECT a FROM p ORDR BY a", "column 17: ORDR cannot be read here (did you mean ORDER?)"),
        ("SELECT a FROM p LIMTI 3", "column 17: LIMTI cannot be read here (did you mean LIMIT?)"),
        ("SELECT a FROM p JION p q ON true", "column 17: JION cannot be read here (did you mean JOIN?)"),
        ("SELECT a FROM p LEFT OTUER JOIN p q ON true", "column 22: OTUER cannot be read here (did you mean OUTER?)"),
        ("SELECT a FROM p WHERE a = 'x' ADN b = 2", "column 31: ADN cannot be read here (did you mean AND?)"),
        ("SELECT a FROM p WHERE a BETWEN 1 AND 2", "column 25: BETWEN cannot be read here (did you mean BETWEEN?)"),
        ("SELECT a FROM p WHERE a LIEK 'x'", "column 25: LIEK cannot be read here (did you mean LIKE?)"),
        ("SELECT CASE WHEN a THN 1 END FROM p", "column 20: THN cannot be read here (did you mean THEN?)"),
        ("SELECT a FROM p HAVNG count(*) > 1", "column 17: HAVNG cannot be read here (did you mean HAVING?)"),
        ("SELECT a FROM p UNOIN SELECT 1", "column 17: UNOIN cannot be read here (did you mean UNION?)"),
        ("SELCT a FROM p", "column 1: only a SELECT may run here (did you mean SELECT?)"),
        ("wiht a AS (SELECT 1) SELECT * FROM a", "column 1: only a SELECT may run here (did you mean WITH?)"),
    ],
)
def test_a_misspelt_key_word_is_named_with_the_one_that_was_meant(statement: str, said: str) -> None:
    """It said: Invalid expression / Unexpected token, at the word after it."""
    with pytest.raises(BadRequestError, match=re.escape(f"SQL, {'' if said.startswith('line') else 'line 1, '}{said}")):
        guard(statement, ["p"])


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT (a FROM p", "SQL, line 1, column 14: Expecting )"),
        ("SELECT a FROM p p WHERE", "SQL, line 1, column 23: it cannot be read from here on"),
        ("SELECT a FROM p zzz qqq", "SQL, line 1, column 23: it cannot be read from here on"),
        ("SELECT a FROM p zzz 'GRUOP'", "SQL, line 1, column 27: it cannot be read from here on"),
        ('SELECT a FROM p zzz "GRUOP"', "SQL, line 1, column 27: it cannot be read from here on"),
    ],
)
def test_a_word_that_is_like_no_key_word_is_not_blamed(statement: str, said: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        guard(statement, ["p"])
    assert str(raised.value) == said


def test_a_key_word_and_a_short_name_are_not_misspelt() -> None:
    assert [closest_keyword(word) for word in ("group", "a", "id", "patient_id", "gender", "code")] == [""] * 6
    assert [closest_keyword(word) for word in ("gruop", "yb", "whre")] == ["group", "by", "where"]
