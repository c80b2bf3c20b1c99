"""Which key word somebody meant where a statement cannot be read: `GRUOP BY`."""

import difflib
from collections.abc import Sequence

from lambda_pipeline.serving.sql.functions import CALLABLE, words_of
from lambda_pipeline.serving.sql.tokens import Token, TokenType

_KEYWORDS = words_of(
    """
    all and any as asc between by case cast cross current desc distinct else end except exists extract false fetch
    filter first following from full group having ilike in inner intersect interval is join last lateral left like
    limit materialized natural not null nulls offset on only or order ordinality outer over partition preceding range
    recursive right row rows select similar some then true unbounded union using values when where window with within
    """
)
_CLOSE = 0.7
"""Share of equal characters, as `difflib` counts it, from which a word is taken for a misspelt one."""


def find_misspelt(words: Sequence[Token], offset: int) -> tuple[Token, str] | None:
    """The word that is most like a key word beside the place where reading ended, and that key word.

    A misspelt key word is first taken for a name, so that reading ends at it, or at the word before or after it.

    Args:
        words: tokens of the statement.
        offset: of the place, before the end of a token.
    """
    index = next((index for index, token in enumerate(words) if offset < token.end), len(words) - 1)
    found = []
    for near in (index - 1, index, index + 1):
        if 0 <= near < len(words) and _can_be_misspelt(words, near):
            word = closest_keyword(words[near].value)
            if word:
                found.append((_likeness(words[near].value, word), -near, words[near], word.upper()))
    return max(found)[2:] if found else None


def closest_keyword(word: str) -> str:
    """The key word that is most like a word that is none; empty where none is."""
    if word in _KEYWORDS:
        return ""
    likeness, closest = max((_likeness(word, each), each) for each in _KEYWORDS)
    return closest if likeness >= _CLOSE else ""


def _likeness(word: str, keyword: str) -> float:
    if len(word) > 1 and sorted(word) == sorted(keyword):
        return 1.0
    return difflib.SequenceMatcher(None, word, keyword).ratio()


def _can_be_misspelt(words: Sequence[Token], index: int) -> bool:
    token = words[index]
    if token.type is not TokenType.NAME or token.value in CALLABLE:
        return False
    before = words[index - 1] if index else None
    after = words[index + 1] if index + 1 < len(words) else None
    named = before is not None and (before.is_symbol(".") or before.is_word("as"))
    return not named and not (after is not None and after.is_symbol("."))
