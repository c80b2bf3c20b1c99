"""Enumerations of the launchpad: it completes their words, and refuses others with the name of the enumeration.

Dagster's refusal says no more than that name, and where a type is shown, the name is all that is shown of it. So the
name lists the words. It has to depend on them anyway: Dagster keeps one config type per name for the life of a process.
"""

import hashlib
from collections.abc import Iterable
from enum import Enum
from typing import Any, TypeVar

_LONGEST = 2_000
"""Characters of a list; a longer one would hide the rest of a message."""

Words = TypeVar("Words", bound=type[Enum])


def make_words(name: str, values: Iterable[str]) -> Any:
    """An enumeration whose names are its values: the launchpad takes names.

    Args:
        name: what its words are, as in `ViewName`.
        values: the words, in any order.
    """
    words = sorted(map(str, values))
    return Enum(_listing(name, words), {word: word for word in words}, type=str)


def list_words(words: Words) -> Words:
    """The same enumeration, with its words in the name that Dagster shows."""
    words.__name__ = _listing(words.__name__, [str(word.value) for word in words])
    return words


def _listing(name: str, words: list[str]) -> str:
    listed = ", ".join(words)
    if len(listed) > _LONGEST:
        digest = hashlib.sha256(listed.encode()).hexdigest()[:6]
        listed = f"{len(words)} names, as in the catalog; {digest}"
    return f"{name}_one_of({listed})"
