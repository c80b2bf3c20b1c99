"""Names of variables that look like settings and are none: a misspelt one would be ignored without a word."""

import re
from collections.abc import Collection, Iterable

from lambda_pipeline.errors import suggest

# A service called lambda-pipeline gives these to every container beside it.
_OF_KUBERNETES = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def find_unknown(names: Iterable[str], known: Collection[str], prefix: str) -> list[str]:
    """Variables with our prefix that nothing reads, each with the name that may have been meant.

    Args:
        names: of all variables of the process.
        known: names that are read, with the prefix or without.
        prefix: of the names to check, in upper case.
    """
    by_bare = {each.removeprefix(prefix): each for each in known}
    problems = []
    for name in sorted(names):
        upper = name.upper()
        if not upper.startswith(prefix) or upper in known or _OF_KUBERNETES.fullmatch(upper):
            continue
        close = suggest(upper.removeprefix(prefix), by_bare)
        problems.append(f"{name}: there is no such setting" + (f"; did you mean {by_bare[close]}?" if close else ""))
    return problems
