"""FHIRPath text -> parse tree.

Reads the whole grammar of FHIRPath 2.0 (N1), including operators that views do not support, so that a later refusal
names the operator and its position and is not a syntax error. This module knows nothing about FHIR.

    name.where(use = 'official').given
    Member(Call(Member(None, 'name'), 'where', (Binary('=', Member(None, 'use'), Literal('official')),)), 'given')
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal as OneOf

from lambda_pipeline.views.primitives import primitive_problem


class FhirPathError(Exception):
    """An expression that does not parse, has a type error, or uses a feature that is not supported.

    Args:
        reason: what is wrong.
        position: offset of the wrong part in the expression.
        hint: what to write instead; may be empty.
    """

    def __init__(self, reason: str, position: int, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position
        self.hint = hint

    def quoting(self, expression: str) -> str:
        """The reason, then the wrong line of the expression with a caret below the position."""
        start = expression.rfind("\n", 0, self.position) + 1
        line = expression[start:].split("\n", 1)[0]
        return f"{self.reason}\n    {line}\n    {' ' * (self.position - start)}^"


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal; `type` is its FHIR type."""

    position: int
    type: OneOf["string", "boolean", "integer", "decimal", "date", "dateTime", "time"]
    value: str | bool | Decimal


@dataclass(frozen=True, slots=True)
class Quantity:
    """`5 'mg'`; the unit is a code of UCUM."""

    position: int
    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class EmptyCollection:
    """`{}`."""

    position: int


@dataclass(frozen=True, slots=True)
class Variable:
    """`%name`."""

    position: int
    name: str


@dataclass(frozen=True, slots=True)
class This:
    """`$this`."""

    position: int


@dataclass(frozen=True, slots=True)
class Member:
    """`target.name`, or `name` alone without a target."""

    position: int
    target: "Expression | None"
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`target.name(arguments)`."""

    position: int
    target: "Expression | None"
    name: str
    arguments: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Index:
    """`target[index]`."""

    position: int
    target: "Expression"
    index: "Expression"


@dataclass(frozen=True, slots=True)
class Unary:
    """`-operand` or `+operand`."""

    position: int
    operator: str
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`; the position is that of the operator."""

    position: int
    operator: str
    left: "Expression"
    right: "Expression"


Expression = Literal | Quantity | EmptyCollection | Variable | This | Member | Call | Index | Unary | Binary

PRECEDENCE: tuple[tuple[str, ...], ...] = (
    ("implies",), ("or", "xor"), ("and",), ("in", "contains"), ("=", "~", "!=", "!~"), ("<=", "<", ">", ">="),
    ("|",), ("is", "as"), ("+", "-", "&"), ("*", "/", "div", "mod"),
)  # fmt: skip
"""Binary operators, loosest first, all left-associative (FHIRPath, section 6.8)."""

MAX_DEPTH = 60
"""Nesting of one expression; deeper nesting would reach the limits of Python or PostgreSQL."""

TOKEN = re.compile(
    r"""
      (?P<space>   \s+ | //[^\n]* | /\*.*?\*/ )
    | (?P<temporal> @[0-9T](?: [0-9T:+\-Z] | \.(?=[0-9]) )* )
    | (?P<number>  [0-9]+ (?: \.[0-9]+ )? )
    | (?P<string>  '(?: [^'\\] | \\. )*' )
    | (?P<quoted>  `(?: [^`\\] | \\. )*` )
    | (?P<name>    [A-Za-z_][A-Za-z0-9_]* )
    | (?P<special> \$[A-Za-z]+ )
    | (?P<symbol>  <= | >= | != | !~ | [-+*/&|=~<>()\[\]{}.,%] )
    """,
    re.VERBOSE | re.DOTALL,
)

HOUR_ALONE = re.compile(r"(.+T[0-9]{2})(|Z|[-+][0-9]{2}:[0-9]{2})")
"""A dateTime that ends after its hour, and its zone."""

ESCAPES = {"'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(expression: str) -> Expression:
    """The parse tree of an expression.

    Raises:
        FhirPathError: the text does not parse.
    """
    parser = _Parser(expression)
    tree = parser.operators(0)
    parser.end()
    return tree


def _tokens(expression: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(expression):
        match = TOKEN.match(expression, position)
        if match is None:
            what = "an unterminated string" if expression[position] in "'`" else f"{expression[position]!r}"
            raise FhirPathError(f"{what} is not FHIRPath", position)
        if match.lastgroup != "space":
            tokens.append(_Token(str(match.lastgroup), match.group(), position))
        position = match.end()
    tokens.append(_Token("end", "", len(expression)))
    return tokens


def _unescape(text: str, position: int) -> str:
    def replace(match: re.Match[str]) -> str:
        escape = match.group(1)
        if escape[0] == "u" and len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in ESCAPES:
            raise FhirPathError(f"\\{escape} is not an escape of FHIRPath", position + 1 + match.start())
        return ESCAPES[escape]

    unescaped = re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", replace, text[1:-1], flags=re.DOTALL)
    return unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Parser:
    """Recursive descent over the tokens; each method returns the tree of the tokens that it consumed."""

    def __init__(self, expression: str) -> None:
        self.tokens = _tokens(expression)
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.token
        self.at += 1
        return token

    def takes(self, *symbols: str) -> _Token | None:
        return self.take() if self.token.kind in ("symbol", "name") and self.token.text in symbols else None

    def expect(self, symbol: str) -> None:
        if not self.takes(symbol):
            raise FhirPathError(f"expected {symbol!r}, found {self.found()}", self.token.position)

    def found(self) -> str:
        return repr(self.token.text) if self.token.text else "the end of the expression"

    def end(self) -> None:
        if self.token.kind != "end":
            raise FhirPathError(f"unexpected {self.found()}", self.token.position)

    def operators(self, level: int) -> Expression:
        if level == 0:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise FhirPathError(f"the nesting is deeper than {MAX_DEPTH}", self.token.position)
        if level == len(PRECEDENCE):
            return self.polarity()
        left = self.operators(level + 1)
        while operator := self.takes(*PRECEDENCE[level]):
            left = Binary(operator.position, operator.text, left, self.operators(level + 1))
        if level == 0:
            self.depth -= 1
        return left

    def polarity(self) -> Expression:
        if operator := self.takes("-", "+"):
            return Unary(operator.position, operator.text, self.path())
        return self.path()

    def path(self) -> Expression:
        tree = self.term()
        while True:
            if self.takes("."):
                tree = self.invocation(tree)
            elif bracket := self.takes("["):
                index = self.operators(0)
                self.expect("]")
                tree = Index(bracket.position, tree, index)
            else:
                return tree

    def invocation(self, target: Expression | None) -> Expression:
        token = self.take()
        if token.kind == "special" and token.text == "$this" and target is None:
            return This(token.position)
        if token.kind not in ("name", "quoted"):
            self.at -= 1
            raise FhirPathError(f"expected a name, found {self.found()}", token.position)
        name = _unescape(token.text, token.position) if token.kind == "quoted" else token.text
        if not self.takes("("):
            return Member(token.position, target, name)
        arguments: list[Expression] = []
        if not self.takes(")"):
            arguments.append(self.operators(0))
            while self.takes(","):
                arguments.append(self.operators(0))
            self.expect(")")
        return Call(token.position, target, name, tuple(arguments))

    def term(self) -> Expression:  # noqa: PLR0911 (one return per form of term)
        token = self.token
        if token.kind == "number":
            return self.number()
        if token.kind == "string":
            self.take()
            return Literal(token.position, "string", _unescape(token.text, token.position))
        if token.kind == "temporal":
            self.take()
            return _temporal(token)
        if token.kind == "name" and token.text in ("true", "false"):
            self.take()
            return Literal(token.position, "boolean", token.text == "true")
        if self.takes("("):
            tree = self.operators(0)
            self.expect(")")
            return tree
        if self.takes("{"):
            self.expect("}")
            return EmptyCollection(token.position)
        if self.takes("%"):
            return self.variable(token)
        return self.invocation(None)

    def number(self) -> Expression:
        token = self.take()
        if self.token.kind == "string":
            unit = self.take()
            return Quantity(token.position, Decimal(token.text), _unescape(unit.text, unit.position))
        return Literal(token.position, "decimal" if "." in token.text else "integer", Decimal(token.text))

    def variable(self, percent: _Token) -> Expression:
        token = self.take()
        if token.kind == "name":
            return Variable(percent.position, token.text)
        if token.kind in ("quoted", "string"):
            return Variable(percent.position, _unescape(token.text, token.position))
        raise FhirPathError("expected a name after %", token.position)


def _temporal(token: _Token) -> Literal:
    text = token.text[1:]
    if primitive_problem(text, "date") is None:
        return Literal(token.position, "date", text)
    if primitive_problem(text, "dateTime") is None:
        return Literal(token.position, "dateTime", text)
    if (hour := HOUR_ALONE.fullmatch(text)) and primitive_problem(f"{hour[1]}:00{hour[2]}", "dateTime") is None:
        return Literal(token.position, "dateTime", text)
    if text.endswith("T") and primitive_problem(text[:-1], "date") is None:
        return Literal(token.position, "dateTime", text[:-1])
    if text.startswith("T") and any(
        primitive_problem(text[1:] + more, "time") is None for more in ("", ":00", ":00:00")
    ):
        return Literal(token.position, "time", text[1:])
    raise FhirPathError(
        f"{token.text} is not a supported literal", token.position,
        "a date (@2020-01), a dateTime (@2020-01-01T10:30Z) or a time (@T10:30)",
    )  # fmt: skip
