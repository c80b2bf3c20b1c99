"""The job `cohort_query`: a cohort definition as a run. Its metadata holds counts, and no id of a person."""

from typing import Any

import dagster as dg
from pydantic import Field, model_validator

from lambda_pipeline.cohorts import Cohort, CohortAnswer, ask, parse_cohort, read_cohort
from lambda_pipeline.cohorts.counts import shown
from lambda_pipeline.cohorts.disclosure import limit_of_jobs
from lambda_pipeline.errors import BadRequestError, CohortDefinitionError
from lambda_pipeline.orchestration.launch_config import FileName, ModeName, Strict, exact
from lambda_pipeline.orchestration.metadata import Metadata, moment
from lambda_pipeline.orchestration.question_job import question_job
from lambda_pipeline.serving import ReadOptions, Serving
from lambda_pipeline.settings import load_settings

SUFFIX = ".yaml"


class CohortQuery(Strict):
    """Config of `cohort_query`."""

    cohort: FileName = Field(None, description="Name of a file in the folder of cohort definitions, without .yaml.")
    definition: Any = Field(
        None,
        description="Or the definition itself. It is stored with the run: do not put patient data here.",
    )
    mode: ModeName = Field(
        ModeName.live,
        description="live: batch and speed merged; batch: the published generation; source: a recompute from HAPI.",
    )
    freshness_target_s: float | None = Field(
        None, gt=0, description="Live answers: read HAPI's tables too when the overlay is older than this."
    )
    accept_quarantined: bool = Field(
        default=True, description="Off: fail rather than answer when resources of the views cannot be read."
    )

    @model_validator(mode="after")
    def _one_definition(self) -> "CohortQuery":
        if (self.cohort is None) == (self.definition is None):
            raise ValueError("state either cohort or definition")
        return self

    def read(self) -> Cohort:
        """The definition.

        Raises:
            BadRequestError: there is no such file, or it is no cohort definition.
        """
        try:
            if self.definition is not None:
                return parse_cohort(_exact(self.definition), name="definition")
            return read_cohort(load_settings().cohorts / f"{self.cohort}{SUFFIX}")
        except CohortDefinitionError as error:
            raise BadRequestError(str(error)) from None

    def read_options(self) -> ReadOptions:
        """How the serving layer answers."""
        return ReadOptions(
            mode=self.mode.value,
            freshness_target_s=self.freshness_target_s,
            accept_quarantined=self.accept_quarantined,
        )


def cohort_query_job() -> dg.JobDefinition:
    """Counts of one cohort definition."""

    def run(context: dg.OpExecutionContext, config: CohortQuery, serving: Serving) -> None:
        min_cell = limit_of_jobs(load_settings())
        answer = ask(serving, config.read(), min_cell=min_cell, options=config.read_options())
        context.add_output_metadata(describe_cohort(answer))

    return question_job(
        "cohort_query",
        CohortQuery,
        does="Counts the persons that a cohort definition finds, with attrition and breakdown.",
        description="Counts of a cohort definition: persons, attrition by rule, breakdown by sex and age.",
        check=CohortQuery.read,
        run=run,
    )


def describe_cohort(answer: CohortAnswer) -> Metadata:
    """The counts of an answer, and what is known about it; never an id of a person."""
    return {
        "cohort": answer.name,
        "persons": answer.persons,
        "attrition": _table(
            ("rule", "remaining", "lost", "excluded_alone"),
            [(step.name, *map(shown, (step.remaining, step.lost, step.excluded_alone))) for step in answer.attrition],
        ),
        "breakdown": _table(
            ("sex", "age", "persons"),
            [(cell.sex or "missing", cell.age_band or "", shown(cell.persons)) for cell in answer.breakdown],
        ),
        "definition_sha256": answer.definition_sha256,
        "valid_as_of": moment(answer.valid_as_of),
        "mode": answer.mode,
        "sources": ", ".join(answer.sources),
        "seconds": round(answer.seconds, 3),
        "quarantined": len(answer.quarantined),
        **({"generation": answer.generation} if answer.generation is not None else {}),
        **({"left_out": "; ".join(map(str, answer.left_out))} if answer.left_out else {}),
        **({"notes": " ".join(answer.notes)} if answer.notes else {}),
    }


def _table(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord(dict(zip(names, row, strict=True))) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name, "text") for name in names]))


def _exact(value: Any) -> Any:
    """The document with the digits that were written, as `exact` gives them, and with its mappings."""
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return exact(value)
