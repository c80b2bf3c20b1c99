"""The tokens of a statement, split as PostgreSQL's own scanner does (`src/backend/parser/scan.l`).

A guard that splits text otherwise than the server guards another statement than the one that runs. So the rules are
the server's: nested comments, `E''` with backslashes, `''` without (`standard_conforming_strings = on`), dollar quotes;
and `:` before a name is a placeholder. What is easily misread, and is not needed for a
question, is refused: `U&''`, string literals that go on after a line break, names with `$` or letters beyond ASCII
without quotes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from lambda_pipeline.errors import BadRequestError


class TokenType(Enum):
    """The kind of a token; comments and white space are not tokens."""

    NAME = auto()
    QUOTED_NAME = auto()
    STRING = auto()
    NUMBER = auto()
    PLACEHOLDER = auto()
    SYMBOL = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        type: what it is.
        text: as written.
        start: offset of its first character in the statement.
        value: for a name its meaning (unquoted ones in lower case), for a placeholder its name, else the text.
    """

    type: TokenType
    text: str
    start: int
    value: str

    @property
    def end(self) -> int:
        """Offset after its last character."""
        return self.start + len(self.text)

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these key words; a quoted name never is."""
        return self.type is TokenType.NAME and self.value in words

    def is_symbol(self, symbol: str) -> bool:
        """Whether it is this character."""
        return self.type is TokenType.SYMBOL and self.text == symbol


_WHITE_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_LINE_COMMENT = re.compile(r"--[^\n\r]*")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_PLAIN_STRING = re.compile(r"'(?:[^']|'')*+'")
_ESCAPE_STRING = re.compile(r"'(?:[^'\\]|\\.|'')*+'", re.DOTALL)
_DOLLAR_TAG = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$")
_NAME = re.compile(r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED_NAME = re.compile(r'"(?:[^"]|"")*+"')
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+"
    r"|(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?"
)
_PLACEHOLDER = re.compile(r":[A-Za-z_][A-Za-z0-9_]*")
_SYMBOLS = frozenset("()[],;.:+-*/<>=~!@#%^&|?")
_LONGEST_NAME = 63
"""Bytes; the server cuts longer names without a word, and another name may come out."""


def tokens(statement: str) -> tuple[Token, ...]:
    """The tokens of a statement, in order.

    Raises:
        BadRequestError: an unterminated comment, string or name, a character that no statement has, or a form that is
            refused; with line and column.
    """
    found: list[Token] = []
    for token in _scan(statement):
        if found and found[-1].type is TokenType.STRING and token.type is TokenType.STRING:
            raise at(statement, token.start, "a string literal goes on after a line break", "join the two with ||")
        if found and token.type is TokenType.PLACEHOLDER and found[-1].end == token.start and _sticks(found[-1]):
            raise at(statement, token.start, "a parameter touches what is before it", "an array slice is [1 : n]")
        found.append(token)
    return tuple(found)


def _sticks(token: Token) -> bool:
    # `name:x` would run as `name$1`, which is one name.
    return token.type is not TokenType.SYMBOL or token.text in {")", "]"}


def at(statement: str, offset: int, reason: str, hint: str = "") -> BadRequestError:
    """An error about a place in a statement."""
    line = statement.count("\n", 0, offset) + 1
    column = offset - (statement.rfind("\n", 0, offset) + 1) + 1
    return BadRequestError(f"SQL, line {line}, column {column}: {reason}", hint=hint)


def _scan(statement: str) -> Iterator[Token]:
    position = 0
    while position < len(statement):
        if space := _WHITE_SPACE.match(statement, position) or _LINE_COMMENT.match(statement, position):
            position = space.end()
        elif statement.startswith("/*", position):
            position = _after_comment(statement, position)
        else:
            token = _token(statement, position)
            yield token
            position = token.end


def _after_comment(statement: str, start: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(statement, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise at(statement, start, "the comment has no end")


def _token(statement: str, start: int) -> Token:
    first = statement[start]
    if first in _OPENERS:
        return _OPENERS[first](statement, start)
    if number := _NUMBER.match(statement, start):
        if _NAME.match(statement, number.end()):
            raise at(statement, start, "a number runs into a name")
        return Token(TokenType.NUMBER, number[0], start, number[0])
    if name := _NAME.match(statement, start):
        return _name_or_string(statement, start, name[0])
    if statement.startswith("::", start):
        return Token(TokenType.SYMBOL, "::", start, "::")
    if placeholder := _PLACEHOLDER.match(statement, start):
        return Token(TokenType.PLACEHOLDER, placeholder[0], start, placeholder[0][1:])
    if first in _SYMBOLS:
        return Token(TokenType.SYMBOL, first, start, first)
    raise at(statement, start, f"a character that no statement has here: U+{ord(first):04X}")


def _plain_string(statement: str, start: int) -> Token:
    return _string(statement, start, _PLAIN_STRING, start)


def _string(statement: str, start: int, form: re.Pattern[str], quote: int) -> Token:
    if not (literal := form.match(statement, quote)):
        raise at(statement, start, "the string literal has no end")
    text = statement[start : literal.end()]
    return Token(TokenType.STRING, text, start, text)


def _dollar_string(statement: str, start: int) -> Token:
    if not (tag := _DOLLAR_TAG.match(statement, start)):
        raise at(statement, start, "a numbered parameter or a stray $", "name parameters, as in :since")
    end = statement.find(tag[0], tag.end())
    if end < 0:
        raise at(statement, start, f"the string literal {tag[0]} has no end")
    text = statement[start : end + len(tag[0])]
    return Token(TokenType.STRING, text, start, text)


def _quoted_name(statement: str, start: int) -> Token:
    if not (quoted := _QUOTED_NAME.match(statement, start)):
        raise at(statement, start, "the quoted name has no end")
    value = quoted[0][1:-1]
    if not value or '"' in value:
        raise at(statement, start, "a quoted name that is empty or has a quote in it")
    return _checked_length(statement, Token(TokenType.QUOTED_NAME, quoted[0], start, value))


def _name_or_string(statement: str, start: int, name: str) -> Token:
    after = statement[start + len(name) : start + len(name) + 2]
    if after[:1] == "'" and name in {"e", "E"}:
        return _string(statement, start, _ESCAPE_STRING, start + len(name))
    if after[:1] == "'" and name in {"b", "B", "x", "X", "n", "N"}:
        return _string(statement, start, _PLAIN_STRING, start + len(name))
    if after in {"&'", '&"'} and name in {"u", "U"}:
        raise at(statement, start, "unicode escapes (U&) are not read", "write the characters themselves")
    if not _PLAIN_NAME.fullmatch(name):
        raise at(statement, start, "a name with characters beyond A-Z, 0-9 and _", 'quote it, as in "größe"')
    lowered = name.lower()
    return _checked_length(statement, Token(TokenType.NAME, name, start, lowered))


def _checked_length(statement: str, token: Token) -> Token:
    if len(token.value.encode()) > _LONGEST_NAME:
        raise at(statement, token.start, f"a name longer than {_LONGEST_NAME} bytes")
    return token


_OPENERS: Mapping[str, Callable[[str, int], Token]] = {"'": _plain_string, '"': _quoted_name, "$": _dollar_string}
