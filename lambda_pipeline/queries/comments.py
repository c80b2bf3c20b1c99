"""Annotations in the comments of a statement: `@key: value`, one on a line.

What a comment is, is decided by the tokens of the SQL guard, so that `--` inside of a text literal is none.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lambda_pipeline.serving.sql.tokens import tokens

_ANNOTATION = re.compile(r"@(?P<key>[A-Za-z][A-Za-z-]*)\s*(?P<colon>:?)\s*(?P<value>.*)")
_BLOCK_EDGE = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One line of a comment that begins with `@` and a word.

    Attributes:
        key: the word.
        value: what follows the colon, without blanks around it; may be empty.
        line: its number, from 1.
        has_colon: whether a colon follows the word.
    """

    key: str
    value: str
    line: int
    has_colon: bool


def find_annotations(statement: str) -> Iterator[Annotation]:
    """The annotations of a statement, in order.

    Raises:
        BadRequestError: its tokens cannot be read.
    """
    for line, text in _comment_lines(statement):
        if found := _ANNOTATION.fullmatch(text):
            yield Annotation(found["key"], found["value"].strip(), line, bool(found["colon"]))


def _comment_lines(statement: str) -> Iterator[tuple[int, str]]:
    """The lines between tokens, where only comments and blanks are, without the marks of comments."""
    edges = [(token.start, token.end) for token in tokens(statement)]
    starts, ends = [0, *(end for _, end in edges)], [*(start for start, _ in edges), len(statement)]
    for start, end in zip(starts, ends, strict=True):
        first = statement.count("\n", 0, start) + 1
        for number, line in enumerate(statement[start:end].split("\n"), first):
            for part in _BLOCK_EDGE.split(line):
                if text := part.strip().removeprefix("--").lstrip("* ").strip():
                    yield number, text
