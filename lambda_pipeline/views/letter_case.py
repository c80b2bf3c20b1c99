"""SQL of `upper()` and `lower()`: the same letters in every database.

PostgreSQL's `upper` follows the locale of the database: `i` becomes `İ` in Turkish, and `č` stays in the locale C. No
collation with one rule for all letters exists in every build of every version (`C.UTF-8` comes from the operating
system up to version 16, ICU is an option of the build), and a view is compiled without a database. So the letters are
listed here: a letter becomes the one letter that Unicode gives, and stays if Unicode gives several (`ß`).

Only letters and results that Unicode 3.2 has are listed, so that every version of Python writes the same SQL: Unicode
promises that two letters which it has stay a pair, or never become one. A letter whose partner is newer stays.
https://www.unicode.org/policies/stability_policy.html#Case_Pair
"""

import string
import unicodedata
from collections.abc import Callable
from functools import cache

FIRST_OTHER = 0x80
"""The first code point that is not ASCII."""


def mapped(function: str, text: str) -> str:
    """SQL text in upper or lower case.

    Args:
        function: `upper` or `lower`.
        text: SQL text, named several times.
    """
    ascii_letters = f'{function}({text} COLLATE "C")'
    old, new = _letters(function)
    # Most texts are ASCII. In another, PostgreSQL looks for each letter in the list, from the start: one that stays is
    # compared with the whole list, so the usual ones come first.
    usual = _change(function)(string.ascii_lowercase) + string.digits + " -"
    return (
        f"CASE WHEN octet_length({text}) = length({text}) THEN {ascii_letters}"
        f" ELSE translate({ascii_letters}, '{usual}{old}', '{usual}{new}') END"
    )


def _change(function: str) -> Callable[[str], str]:
    """The function of Python with the same name."""
    return {"upper": str.upper, "lower": str.lower}[function]


@cache
def _letters(function: str) -> tuple[str, str]:
    """The letters beyond ASCII that the function changes, and what they become."""
    change = _change(function)
    letters = filter(_is_old, map(chr, range(FIRST_OTHER, 0x110000)))
    pairs = [
        (letter, changed)
        for letter in letters
        if (changed := change(letter)) != letter and len(changed) == 1 and _is_old(changed)
    ]
    return "".join(letter for letter, _ in pairs), "".join(changed for _, changed in pairs)


def _is_old(character: str) -> bool:
    return unicodedata.ucd_3_2_0.category(character) not in ("Cn", "Co", "Cs")
