"""The answer to a cohort definition: counts from one snapshot, and what is known about them.

Its parts stand in `counts`.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lambda_pipeline.cohorts.code_sets import CodeSet
from lambda_pipeline.cohorts.counts import Cell, Count, LeftOut, Step, shown
from lambda_pipeline.cohorts.html import to_html
from lambda_pipeline.serving import Mode, QuarantinedResource

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class CohortAnswer:
    """Persons that a definition finds, at one frontier.

    Attributes:
        name: of the definition.
        definition_sha256: of what it asks, without names and descriptions.
        code_sets: those that it used, with versions and digests.
        persons: distinct persons found.
        attrition: all persons, those with an index, and then the rules in order.
        breakdown: the persons found by sex and age band; the cells add up to `persons`.
        left_out: what could not be compared; nothing with a count of 0.
        valid_as_of: the frontier, in UTC: every change committed before it is in the answer.
        generation: number of the batch generation it was read from; None for `source`.
        mode: how it was computed.
        sources: where rows came from.
        quarantined: resources that are missing from the views asked.
        notes: what else a reader must know, in sentences.
        seconds: time it took.
        statement: the SELECT that was run, with `:name` for each parameter.
        person_ids: the ids of the persons found, sorted; None unless they were asked for.
        min_cell: counts from 1 to below this number are not shown; None shows all.
    """

    name: str
    definition_sha256: str
    code_sets: tuple[CodeSet, ...]
    persons: Count
    attrition: tuple[Step, ...]
    breakdown: tuple[Cell, ...]
    left_out: tuple[LeftOut, ...]
    valid_as_of: datetime
    generation: int | None
    mode: Mode
    sources: tuple[str, ...]
    quarantined: tuple[QuarantinedResource, ...]
    notes: tuple[str, ...]
    seconds: float
    statement: str
    person_ids: tuple[str, ...] | None = None
    min_cell: int | None = None

    def __post_init__(self) -> None:
        if self.min_cell is not None:
            return
        if sum(int(cell.persons) for cell in self.breakdown) != self.persons:
            raise ValueError("the breakdown does not add up to the persons")
        remaining = [int(step.remaining) for step in self.attrition]
        if remaining != sorted(remaining, reverse=True) or remaining[-1] != self.persons:
            raise ValueError("the attrition does not go down to the persons")
        if self.person_ids is not None and len(set(self.person_ids)) != self.persons:
            raise ValueError("there are other ids than persons")

    @property
    def persons_frame(self) -> "pd.DataFrame":
        """The ids as a data frame with the column `person_id`.

        Raises:
            ValueError: they were not asked for.
        """
        if self.person_ids is None:
            raise ValueError("persons were not asked for: ask(..., persons=True)")
        return _frame([[each] for each in self.person_ids], ["person_id"], {"person_id": "string"})

    @property
    def attrition_frame(self) -> "pd.DataFrame":
        """The attrition as a data frame; a count that is not shown is missing."""
        names = ["remaining", "lost", "excluded_alone"]
        rows = [[step.name, *_numbers(step.remaining, step.lost, step.excluded_alone)] for step in self.attrition]
        return _frame(rows, ["name", *names], dict.fromkeys(names, "Int64"))

    @property
    def breakdown_frame(self) -> "pd.DataFrame":
        """The breakdown as a data frame; a count that is not shown is missing."""
        rows = [[cell.sex, cell.age_band, *_numbers(cell.persons)] for cell in self.breakdown]
        return _frame(rows, ["sex", "age_band", "persons"], {"persons": "Int64"})

    def summary(self) -> dict[str, Any]:
        """Everything except the ids of persons, ready for JSON; a count that is not shown is text."""
        return {
            "name": self.name,
            "definition_sha256": self.definition_sha256,
            "persons": self.persons,
            "attrition": [asdict(step) for step in self.attrition],
            "breakdown": [asdict(cell) for cell in self.breakdown],
            "left_out": [asdict(each) for each in self.left_out],
            "code_sets": [
                {"name": each.name, "system": each.system, "version": each.version, "sha256": each.sha256}
                for each in self.code_sets
            ],
            "mode": self.mode,
            "valid_as_of": self.valid_as_of.astimezone(UTC).isoformat(),
            "generation": self.generation,
            "sources": list(self.sources),
            "quarantined": [asdict(each) for each in self.quarantined],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "min_cell": self.min_cell,
        }

    def _repr_html_(self) -> str:
        title = f"{self.name}: {shown(self.persons)} persons"
        as_of = f"valid as of {self.valid_as_of.isoformat(timespec='seconds')}, from {' and '.join(self.sources)}"
        missing = f"{len(self.quarantined):,} resources are missing because they cannot be read"
        lines = [*map(str, self.left_out), *self.notes, *([missing] if self.quarantined else [])]
        return to_html(title, as_of, self.attrition, self.breakdown, lines)


def _frame(rows: list[list[Any]], columns: list[str], types: dict[str, str]) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 (takes longer to import than most questions take to answer)

    return pd.DataFrame(rows, columns=columns).astype(types)


def _numbers(*counts: Count | None) -> list[int | None]:
    return [count if isinstance(count, int) else None for count in counts]
