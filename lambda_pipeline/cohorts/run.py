"""Ask: check a definition, run its statement through the serving layer, and read the counts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from lambda_pipeline.cohorts.answer import CohortAnswer
from lambda_pipeline.cohorts.code_sets import CodeSet
from lambda_pipeline.cohorts.compile import breakdown_age_at, compile_cohort
from lambda_pipeline.cohorts.counts import Cell, LeftOut, Step
from lambda_pipeline.cohorts.definition import AgeCriterion, Cohort, Group
from lambda_pipeline.cohorts.disclosure import protect
from lambda_pipeline.cohorts.document import json_path, parse_cohort, read_cohort
from lambda_pipeline.cohorts.lint import lint_cohort, read_code_sets, views_of
from lambda_pipeline.cohorts.question import COLUMNS, Part, Question
from lambda_pipeline.cohorts.sources import Views
from lambda_pipeline.errors import AmbiguousPersonError, BadRequestError, CohortDefinitionError, CohortFinding
from lambda_pipeline.serving import Answer, Composition, ReadOptions, Serving
from lambda_pipeline.serving.options import DEFAULTS, OptionValues

AnyCohort = Cohort | Path | str | Mapping[str, Any]
"""A definition, the path of its file, or the content of its document."""

Row = dict[str, Any]


def as_cohort(cohort: AnyCohort) -> Cohort:
    """The definition.

    Raises:
        BadRequestError: the file cannot be read.
        CohortDefinitionError: it is not a cohort definition.
    """
    if isinstance(cohort, Path | str):
        return read_cohort(Path(cohort))
    return parse_cohort(cohort)


def check(cohort: Cohort, views: Views, folder: Path) -> tuple[dict[str, CodeSet], list[CohortFinding]]:
    """The code sets of a definition, and the warnings about it.

    Args:
        cohort: the definition.
        views: the views as they are read.
        folder: of the code sets.

    Raises:
        CohortDefinitionError: it cannot be answered as it stands; lists every finding that is no warning.
    """
    code_sets = read_code_sets(cohort, folder)
    findings = lint_cohort(cohort, views, code_sets, folder)
    if errors := [finding for finding in findings if not finding.warning]:
        raise CohortDefinitionError(cohort.name, errors)
    return code_sets, findings


def show(serving: Serving, cohort: AnyCohort) -> Question:
    """The statement of a definition, over the views as they are published; nothing is run.

    Raises:
        BadRequestError, CohortDefinitionError: as `ask`.
    """
    definition, views = as_cohort(cohort), serving.known_views()
    code_sets, _ = check(definition, views, serving.settings.code_sets)
    return compile_cohort(definition, views, code_sets)


def ask(
    serving: Serving,
    cohort: AnyCohort,
    *,
    persons: bool = False,
    min_cell: int | None = None,
    options: ReadOptions = DEFAULTS,
    **changed: Unpack[OptionValues],
) -> CohortAnswer:
    """Count the persons that a definition finds, with attrition and breakdown, all from one snapshot.

    Args:
        serving: the serving layer.
        cohort: the definition, the path of its file, or the content of its document.
        persons: whether the answer also has the ids of the persons.
        min_cell: the lowest count above 0 that is shown, 0 for all; None stands for the setting
            `disclosure_min_cell`.
        options: how the question is answered; `limit` and `compare` have no meaning here.
        changed: single options that differ, such as `mode="batch"`.

    Raises:
        BadRequestError: the file cannot be read, or persons are asked for while small counts are not shown.
        CohortDefinitionError: the definition cannot be answered as it stands; lists every finding.
        AmbiguousPersonError: the person view has several rows for one id.
        AnswerRefusedError: the answer cannot be shown to be right; see its subclasses.
        AnswerTooLargeError: more persons than the settings allow.
        QueryFailedError: PostgreSQL ended the query.
    """
    began = time.monotonic()
    options = replace(replace(options, **changed), limit=None, compare=False)
    definition = as_cohort(cohort)
    limit = serving.settings.disclosure_min_cell if min_cell is None else min_cell
    if limit and persons:
        raise BadRequestError(
            "ids of persons are not given out while small counts are not shown",
            hint="LAMBDA_PIPELINE_DISCLOSURE_MIN_CELL=0 shows all",
        )
    folder = serving.settings.code_sets
    check(definition, serving.known_views(), folder)
    run = _Run(definition, folder, persons=persons)
    answer = serving.compute(views_of(definition), run.compose, options=options)
    counted = run.read(answer)
    return replace(protect(counted, limit) if limit else counted, seconds=time.monotonic() - began)


class _Run:
    """One definition while it is asked; compiled in the snapshot in which it runs, over the views that are there."""

    def __init__(self, cohort: Cohort, folder: Path, *, persons: bool) -> None:
        self.cohort = cohort
        self.folder = folder
        self.persons = persons
        self.code_sets: dict[str, CodeSet] = {}
        self.warnings: list[CohortFinding] = []
        self.question: Question

    def compose(self, views: Views) -> Composition:
        self.code_sets, self.warnings = check(self.cohort, views, self.folder)
        self.question = compile_cohort(self.cohort, views, self.code_sets, persons=self.persons)
        return Composition(self.question.statement, self.question.parameters, COLUMNS)

    def read(self, answer: Answer) -> CohortAnswer:
        names = [column.name for column in answer.columns]
        parts: dict[Part, list[Row]] = {part: [] for part in Part}
        for row in answer.rows:
            named = dict(zip(names, row, strict=True))
            parts[Part(named["part"])].append(named)
        (persons,) = parts[Part.PERSONS]
        if persons["m"]:
            raise AmbiguousPersonError(
                f"view {self.cohort.person.view} has several rows for {persons['m']:,} persons",
                hint="name a view with one row for each person",
            )
        steps = self._steps(parts, persons["n"])
        found = sorted(row["text"] for row in parts[Part.PERSON])
        return CohortAnswer(
            name=self.cohort.name,
            definition_sha256=self.cohort.sha256,
            code_sets=tuple(self.code_sets.values()),
            persons=steps[-1].remaining,
            attrition=steps,
            breakdown=self._cells(parts[Part.CELL]),
            left_out=tuple(self._left_out(parts)),
            valid_as_of=answer.valid_as_of,
            generation=answer.generation,
            mode=answer.mode,
            sources=answer.sources,
            quarantined=answer.quarantined,
            notes=(*answer.notes, *map(str, self.warnings)),
            seconds=0.0,
            statement=self.question.text,
            person_ids=tuple(found) if self.persons else None,
        )

    def _steps(self, parts: Mapping[Part, Sequence[Row]], persons: int) -> tuple[Step, ...]:
        steps = [Step("all persons", persons, 0)]
        if (index := self.cohort.index) is not None:
            (candidates,) = parts[Part.CANDIDATES]
            steps.append(Step(f"index: {index.event} of {index.view}", candidates["n"], persons - candidates["n"]))
        rules = sorted(parts[Part.RULE], key=lambda row: int(row["place"]))
        before = int(steps[-1].remaining)
        for rule, row in zip(self.cohort.rules, rules, strict=True):
            steps.append(Step(rule.name, row["n"], before - row["n"], row["m"]))
            before = row["n"]
        return tuple(steps)

    def _cells(self, rows: Sequence[Row]) -> tuple[Cell, ...]:
        bands = _bands(self.cohort)
        cells = []
        for row in sorted(rows, key=lambda row: (row["text"] is None, row["text"] or "", _last_if_missing(row))):
            band = None if bands is None else "unknown" if row["number"] is None else bands[row["number"]]
            cells.append(Cell(row["text"], band, row["n"]))
        return tuple(cells)

    def _left_out(self, parts: Mapping[Part, Sequence[Row]]) -> list[LeftOut]:
        ages = _age_paths(self.cohort)
        found = [LeftOut("$.index", "undated-index", row["n"]) for row in parts[Part.UNDATED]]
        for part, reason in ((Part.OTHER_UNIT, "other-unit"), (Part.UNDECIDED, "undecided-date")):
            for row in parts[part]:
                path = self.question.places[row["place"]]
                found.append(LeftOut(path, "undecided-age" if path in ages else reason, row["n"]))
        return sorted((each for each in found if each.count), key=lambda each: (each.path, each.reason))


def _last_if_missing(row: Row) -> int:
    return 1_000 if row["number"] is None else int(row["number"])


def _bands(cohort: Cohort) -> list[str] | None:
    """The age bands by number; None where no ages are counted."""
    if breakdown_age_at(cohort) is None:
        return None
    bounds = [0, *cohort.breakdown.age_bands]
    upper = [f"-{bound - 1}" for bound in cohort.breakdown.age_bands] + ["+"]
    return [f"{low}{high}" for low, high in zip(bounds, upper, strict=True)]


def _age_paths(cohort: Cohort) -> set[str]:
    found = set()

    def visit(group: Group, place: tuple[int | str, ...]) -> None:
        for number, member in enumerate(group.members):
            here = (*place, "members", number)
            if isinstance(member, Group):
                visit(member, here)
            elif isinstance(member, AgeCriterion):
                found.add(json_path(here))

    for number, rule in enumerate(cohort.rules):
        visit(rule, ("rules", number))
    return found
