"""The tree of a statement, read by sqlglot within bounds.

sqlglot tries some readings one after the other (`date(`, `numeric(`, `ARRAY[`, `LIMIT (`), so that the work doubles
with each level of nesting. Depth and number of tokens are therefore bounded before it sees the text, and its steps are
counted while it reads. What the tree may contain belongs in `guard`.
"""

import re
from collections.abc import Sequence

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError
from sqlglot.parsers.postgres import PostgresParser

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.serving.sql.keywords import find_misspelt
from lambda_pipeline.serving.sql.tokens import Token, TokenType, at

MAX_DEPTH = 32
"""Brackets inside one another; sqlglot takes up to 20 frames of Python's stack for each."""
MAX_TOKENS = 3_000
"""Tokens of a statement, without the literals of long lists."""
MAX_STEPS = 5_000
"""Tokens that sqlglot may pass, counted again when it goes back. Statements as people write them take 1 to 2 steps for
each token."""
_LISTED = 8
"""Literals in a row, as in `IN ('a', 'b', ...)`, that sqlglot sees; the others cannot change what is read."""

_INTERNALS = re.compile(r" (but got <Token|for <class) .*", re.DOTALL)
"""How sqlglot shows tokens and nodes to its developers."""
_VAGUE = ("Invalid expression", "Required keyword")
"""What sqlglot says where it cannot say anything of use."""
_OPENING, _CLOSING = ("(", "["), (")", "]")


def bounded(statement: str, words: Sequence[Token]) -> list[Token]:
    """The tokens of a statement that sqlglot needs to see: all but the later literals of long lists.

    Raises:
        BadRequestError: they are too many, or nested too deeply.
    """
    kept = _without_long_lists(words)
    if len(kept) > MAX_TOKENS:
        raise BadRequestError(
            f"SQL: longer than {MAX_TOKENS:,} words and symbols", hint="long lists of literals do not count"
        )
    depth = 0
    for token in kept:
        if token.type is TokenType.SYMBOL:
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
            if depth > MAX_DEPTH:
                raise at(
                    statement, token.start, f"more than {MAX_DEPTH} brackets inside one another, nested too deeply"
                )
    return kept


def parse(statement: str, words: Sequence[Token]) -> exp.Expr:
    """The tree of one SELECT.

    Args:
        statement: the text.
        words: its tokens, as `bounded` returns them.

    Raises:
        BadRequestError: sqlglot cannot read it, it is nested too deeply, or reading takes too many steps.
    """
    dialect = Postgres()
    # An offset makes sqlglot compute the types of everything before each subscript.
    dialect.INDEX_OFFSET = 0
    text = _skeleton(statement, words)
    parser = _CountingParser(dialect=dialect)
    try:
        trees = parser.parse(dialect.tokenize(text), text)
    except SqlglotError as error:
        raise _describe_error(statement, words, error) from None
    except _TooManyStepsError:
        raise BadRequestError(
            f"SQL: it takes more than {MAX_STEPS:,} steps to read",
            hint="nest types, ARRAY[] and LIMIT less, or shorten it",
        ) from None
    except RecursionError:
        raise BadRequestError("SQL: nested too deeply") from None
    if len(trees) != 1 or trees[0] is None:
        raise BadRequestError("SQL: several statements", hint="ask them one by one")
    return trees[0]


class _TooManyStepsError(Exception):
    """Not an error of sqlglot's: its parser takes those for a reading that failed, and tries the next one."""


class _CountingParser(PostgresParser):
    """sqlglot's parser, which ends after `MAX_STEPS` steps."""

    steps = 0

    def _advance(self, times: int = 1) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise _TooManyStepsError
        super()._advance(times)


def _without_long_lists(words: Sequence[Token]) -> list[Token]:
    """The tokens without `, literal` where `_LISTED` literals go before and another element or the end follows."""
    kept: list[Token] = []
    listed = 0
    for index, token in enumerate(words):
        if token.type in {TokenType.STRING, TokenType.NUMBER} and index and words[index - 1].is_symbol(","):
            listed += 1
            ends = index + 1 < len(words) and (words[index + 1].is_symbol(",") or words[index + 1].is_symbol(")"))
            if listed > _LISTED and ends:
                kept.pop()
                continue
        elif not token.is_symbol(","):
            listed = 0
        kept.append(token)
    return kept


def _skeleton(statement: str, words: Sequence[Token]) -> str:
    """The statement for sqlglot, every token at its place: comments blanked, literals filled, names in lower case."""
    characters = ["\n" if character == "\n" else " " for character in statement]
    for token in words:
        characters[token.start : token.end] = _stand_in(token)
    return "".join(characters)


def _stand_in(token: Token) -> str:
    length = len(token.text)
    match token.type:
        case TokenType.STRING:
            lines = "".join("\n" if character == "\n" else "x" for character in token.text[1:-1])
            return f"'{lines}'"
        case TokenType.NUMBER:
            return "1" * length
        case TokenType.PLACEHOLDER:
            return ":" + "x" * (length - 1)
        case TokenType.NAME:
            return token.value
        case _:
            return token.text


def _describe_error(statement: str, words: Sequence[Token], error: SqlglotError) -> BadRequestError:
    details = getattr(error, "errors", None) or [{}]
    line, column = details[0].get("line"), details[0].get("col")
    if line and column:
        before = sum(len(each) + 1 for each in statement.split("\n")[: line - 1])
        misspelt = find_misspelt(words, before + column - 1)
        if misspelt:
            token, word = misspelt
            return at(statement, token.start, f"{token.text} cannot be read here", f"did you mean {word}?")
    place = f", line {line}, column {column}" if line and column else ""
    said = str(details[0].get("description") or "it cannot be read")
    reason = "it cannot be read from here on" if said.startswith(_VAGUE) else _INTERNALS.sub("", said).rstrip(".")
    return BadRequestError(f"SQL{place}: {reason}", hint="" if place else f"{len(statement)} characters")
