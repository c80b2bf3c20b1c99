"""Regular expressions of `matches()`: the common part of the usual dialects, written for PostgreSQL."""

import re
import warnings

CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r"\s"}
CONTROLS = "tnrfv"
GROUPS = ("(?:", "(?=", "(?!")
QUANTIFIER = re.compile(r"[*+?]|[{](\d+)(,(\d*))?[}]")
MAX_REPEAT = 255
"""What PostgreSQL allows in `{m,n}`."""


class RegularExpressionError(Exception):
    """A regular expression that does not parse, or uses a feature that dialects read differently."""


def to_postgresql(pattern: str) -> str:
    """The same regular expression for PostgreSQL's `~` with the collation C.

    Raises:
        RegularExpressionError: says what is wrong.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(pattern)
    except re.error as error:
        raise RegularExpressionError(f"the regular expression does not parse: {error.msg}") from None
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        part, at = _part(pattern, at)
        parts.append(part)
    return "".join(parts)


def _part(pattern: str, at: int) -> tuple[str, int]:
    """The next part in PostgreSQL's notation, and where the one after it begins."""
    character = pattern[at]
    if character == "\\":
        return _escape(pattern[at + 1 :], inside=False), at + 2
    if character == "[":
        return _bracket(pattern, at)
    if pattern.startswith("(?", at):
        if not pattern.startswith(GROUPS, at):
            raise RegularExpressionError(f"{pattern[at : at + 4]} is not supported in a regular expression")
        return pattern[at : at + 3], at + 3
    if character in "*+?{":
        return _quantifier(pattern, at)
    return character, at + 1


def _quantifier(pattern: str, at: int) -> tuple[str, int]:
    found = QUANTIFIER.match(pattern, at)
    if found is None:
        raise RegularExpressionError("write \\\\{ for a brace in a regular expression")
    if any(int(number) > MAX_REPEAT for number in found.group(1, 3) if number):
        raise RegularExpressionError(f"a regular expression can repeat at most {MAX_REPEAT} times")
    end = found.end()
    lazy = "?" if pattern.startswith("?", end) else ""
    if pattern.startswith("+", end):
        raise RegularExpressionError("possessive quantifiers are not supported")
    return found.group() + lazy, end + len(lazy)


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    start = "[^" if pattern.startswith("[^", at) else "["
    at += len(start)
    parts = [start]
    while pattern[at] != "]" or len(parts) == 1:
        character = pattern[at]
        if character == "]":
            raise RegularExpressionError("write \\\\] for a bracket inside brackets")
        at += 1
        if character == "\\":
            parts.append(_escape(pattern[at:], inside=True))
            at += 1
        else:
            parts.append("\\[" if character == "[" else character)
    return "".join(parts) + "]", at + 1


def _escape(rest: str, *, inside: bool) -> str:
    """An escape, without its backslash, in PostgreSQL's notation."""
    character = rest[0]
    if character in CLASSES:
        return CLASSES[character] if inside or character == "s" else f"[{CLASSES[character]}]"
    if character in "DW" and not inside:
        return f"[^{CLASSES[character.lower()]}]"
    if character in "SbB" and not inside:
        return {"S": r"\S", "b": r"\y", "B": r"\Y"}[character]
    if character in CONTROLS or not character.isalnum():
        return f"\\{character}"
    raise RegularExpressionError(f"\\\\{character} is not supported in a regular expression")
