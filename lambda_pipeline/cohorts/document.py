"""A document as a cohort definition; how its text is read stands in `lambda_pipeline/documents.py`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lambda_pipeline.cohorts.definition import Cohort
from lambda_pipeline.documents import json_path, parse_text, read_document
from lambda_pipeline.errors import CohortDefinitionError, CohortFinding, suggest

__all__ = ["json_path", "parse_cohort", "parse_text", "read_cohort", "read_document"]


def read_cohort(path: Path) -> Cohort:
    """The definition in a file; `.json` is JSON, everything else YAML.

    Raises:
        BadRequestError: the file cannot be read, or is no document.
        CohortDefinitionError: it is not a cohort definition; lists every problem with its place.
    """
    return parse_cohort(read_document(path), name=path.name)


def parse_cohort(content: Any, *, name: str = "cohort") -> Cohort:
    """A definition from the content of a document.

    Args:
        content: mappings and lists, such as `read_document` gives them.
        name: what errors call it.

    Raises:
        CohortDefinitionError: it is not a cohort definition; lists every problem with its place.
    """
    if isinstance(content, Cohort):
        return content
    try:
        return Cohort.model_validate(content)
    except ValidationError as error:
        found = [_finding(item["type"], item["loc"], item["msg"], content) for item in error.errors()]
    except RecursionError:
        found = [CohortFinding("malformed", "$", "nested too deeply")]
    by_place = {(finding.path, finding.reason): finding for finding in found}
    raise CohortDefinitionError(name, [each for each in by_place.values() if not _follows(each, found)])


def _finding(kind: str, location: Sequence[int | str], message: str, content: Any) -> CohortFinding:
    place, rest = _walk(location, content)
    hint = ""
    reason = message.removeprefix("Value error, ").removeprefix("Input ")
    reason = reason[:1].lower() + reason[1:]
    match kind:
        case "missing":
            place, reason = [*place, *[str(part) for part in rest[-1:]]], "is missing"
        case "extra_forbidden":
            close = suggest(str(location[-1]), _WORDS)
            reason, hint = "is not a key here", f"did you mean {close}?" if close else ""
        case "union_tag_invalid":
            reason, hint = "there is no such operator", _OPERATORS
        case "union_tag_not_found":
            reason, hint = "a condition needs an operator", _OPERATORS
        case _ if rest and isinstance(rest[-1], str) and kind.endswith(("_type", "_parsing")):
            reason = "must be text, a number, true or false, of the kind that is asked for here"
    return CohortFinding("malformed", json_path(place), reason, hint)


def _follows(finding: CohortFinding, found: Sequence[CohortFinding]) -> bool:
    """Whether a list only seems too short, since pydantic leaves out elements that have findings of their own."""
    return "at least" in finding.reason and any(each.path.startswith(f"{finding.path}[") for each in found)


def _walk(location: Sequence[int | str], content: Any) -> tuple[list[int | str], list[int | str]]:
    """The part of a place that the document has, without pydantic's names of alternatives; and what is left of it."""
    place: list[int | str] = []
    rest: list[int | str] = []
    for part in location:
        inside = isinstance(content, Mapping) and part in content
        inside = inside or (isinstance(content, list | tuple) and isinstance(part, int) and part < len(content))
        if inside:
            content = content[part]
            place.append(part)
            rest = []
        else:
            rest.append(part)
    return place, rest


_OPERATORS = "eq, ne, lt, le, gt, ge, between, in, is_null, is_not_null, contains, in_code_set"
_WORDS = (
    *Cohort.model_fields, "match", "n", "members", "view", "date", "where", "event", "occurs", "window", "age", "sex",
    "at_least", "at_most", "exactly", "distinct_days", "after", "before", "at", "column", "operator", "value", "unit",
    "case", "whole_word", "or_missing", "code_set", "system_column", "system", "code", "id", "birth_date",
    "age_at", "age_bands",
)  # fmt: skip
