"""Metadata that Dagster shows of views, generations, ticks, comparisons and answers.

Counts, times and resource keys belong here. Rows do not: only the preview of an answer, which the analyst requests,
contains values of patients.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from lambda_pipeline.batch.generation import SCHEMA, Generation, PublishedView, Repairs
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import AnswerRefusedError, LambdaPipelineError
from lambda_pipeline.operations.parity import Parity, ViewParity
from lambda_pipeline.operations.report import Report
from lambda_pipeline.operations.view_tests import TestOutcome
from lambda_pipeline.serving import Answer
from lambda_pipeline.serving.cells import to_json
from lambda_pipeline.speed.tick import Tick
from lambda_pipeline.views import View

Metadata = dict[str, Any]

NAMED_RESOURCES = 20
"""At most this many resources are named in one value."""

PARITY_COLUMNS = ("mode", "view", "checked", "changed_since", "undecided", "mismatches")


def describe_view(view: View) -> Metadata:
    """A view before any run, as shown in the catalog."""
    return {
        "dagster/column_schema": column_schema(view),
        "definition": view.file,
        "statement": dg.MetadataValue.md(f"```sql\n{view.statement}\n```"),
    }


def describe_batch_view(view: View) -> Metadata:
    """The same for its batch table, with the name under which people may query it."""
    return {
        **describe_view(view),
        "dagster/table_name": f"{SCHEMA}.{view.name}",
        "refresh": "Always refreshes all views from one snapshot; materializing some of them reports only those.",
    }


def describe_refresh(view: PublishedView, generation: Generation, before: Generation | None) -> Metadata:
    """The result of a refresh for one view."""
    old = before.views.get(view.view.name) if before else None
    change = schema_change(old.view, view.view) if old else {}
    return {
        "dagster/row_count": view.row_count,
        "dagster/column_schema": column_schema(view.view),
        "dagster/table_name": f"{SCHEMA}.{view.view.name}",
        "generation": generation.number,
        "valid_as_of": moment(generation.valid_as_of),
        "made": view.build_kind,
        "rows_written": view.rows_written,
        "seconds": round(view.seconds, 3),
        "resources": view.resources,
        "quarantined": view.quarantined,
        "relation": f"{SCHEMA}.{view.table_name}",
        "repaired": dg.MetadataValue.json(describe_repairs(generation.repairs.get(view.view.resource))),
        **({"schema_change": dg.MetadataValue.json(change)} if change else {}),
    }


def describe_source(resources: int, generation: Generation) -> Metadata:
    """Resources of one type, as a refresh read them."""
    return {
        "dagster/row_count": resources,
        "generation": generation.number,
        "valid_as_of": moment(generation.valid_as_of),
    }


def describe_merged(view: PublishedView, generation: Generation) -> Metadata:
    """The batch part of a merged view; the changes since then are merged for each question."""
    return {
        "dagster/column_schema": column_schema(view.view),
        "batch_rows": view.row_count,
        "generation": generation.number,
        "valid_as_of": moment(generation.valid_as_of),
    }


def describe_repairs(repairs: Repairs | None) -> Metadata:
    """What the comparison of keys found for one resource type: counts, and the first resource keys."""
    found = repairs or Repairs()
    return {
        "gone": found.gone,
        "altered": found.altered,
        **({"resources": ", ".join(found.resources)} if found.resources else {}),
    }


def describe_parity(parity: Parity, found: ViewParity) -> Metadata:
    """What the comparison with a recompute found for one view: counts and resource keys, never a value."""
    differing = [mismatch.resource for mismatch in found.mismatches]
    return {
        "checked": found.checked,
        "changed_since": found.changed,
        "mismatches": len(differing),
        "undecided": len(found.undecided),
        "seed": parity.seed,
        "sample": "everything" if parity.sample is None else parity.sample,
        "mode": parity.mode,
        "generation": parity.generation,
        "valid_as_of": moment(parity.valid_as_of),
        "sources": ", ".join(parity.sources),
        "seconds": round(parity.seconds, 3),
        **({"differing": ", ".join(differing[:NAMED_RESOURCES])} if differing else {}),
        **({"undecided_resources": ", ".join(found.undecided[:NAMED_RESOURCES])} if found.undecided else {}),
        **({"notes": " ".join(parity.notes)} if parity.notes else {}),
    }


def describe_parities(parities: Sequence[Parity]) -> Metadata:
    """What a run compared: a table of counts by mode and view, and the seeds that select the same resources again."""
    counts: list[dict[str, str | int]] = [
        {
            "mode": parity.mode,
            "view": name,
            "checked": found.checked,
            "changed_since": found.changed,
            "undecided": len(found.undecided),
            "mismatches": len(found.mismatches),
        }
        for parity in parities
        for name, found in sorted(parity.views.items())
    ]
    differing = [str(mismatch) for parity in parities for mismatch in parity.mismatches]
    return {
        "views": dg.MetadataValue.table(
            [dg.TableRecord(row) for row in counts],
            dg.TableSchema(
                [dg.TableColumn(name, "text" if name in ("mode", "view") else "int") for name in PARITY_COLUMNS]
            ),
        ),
        "checked": sum(parity.checked for parity in parities),
        "mismatches": len(differing),
        **{f"seed_{parity.mode}": parity.seed for parity in parities},
        **({"differing": ", ".join(differing[:NAMED_RESOURCES])} if differing else {}),
    }


def describe_error(error: LambdaPipelineError) -> Metadata:
    """The code and reason of an error; of a refusal also what was missing and how to get an answer."""
    if isinstance(error, AnswerRefusedError):
        return {"error": error.code, "reason": error.message, "missing": error.missing, "ways_out": error.hint}
    return {"error": error.code, "reason": str(error), "ways_out": error.hint or "lambda-pipeline check says more"}


def column_schema(view: View) -> dg.TableSchema:
    """The view's columns with their PostgreSQL types."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=column.description or None,
                constraints=dg.TableColumnConstraints(other=["indexed"]) if column.indexed else None,
            )
            for column in view.columns
        ]
    )


def schema_change(before: View, after: View) -> dict[str, list[str]]:
    """Names of added, removed and retyped columns; empty when nothing changed."""
    old = {column.name: column.type for column in before.columns}
    new = {column.name: column.type for column in after.columns}
    changes = {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "retyped": [f"{name}: {old[name]} to {new[name]}" for name in new if name in old and old[name] != new[name]],
    }
    return {change: names for change, names in changes.items() if names}


def describe_tick(tick: Tick, deployment: Deployment) -> Metadata:
    """What a tick captured, and the size of the overlay."""
    state = tick.last.state
    return {
        "dagster/row_count": tick.last.entries,
        "changes": dg.MetadataValue.json(dict(tick.captured)),
        "captured": tick.count,
        "deletes": tick.deleted,
        "unreadable": tick.unreadable,
        "late": tick.late,
        "pruned": tick.pruned,
        "lag_s": round(tick.lag_s, 3),
        "overlay_bytes": deployment.overlay.size_bytes(state) if state else 0,
        "polls": len(tick.polls),
        **({"frontier": moment(tick.frontier)} if tick.frontier else {}),
        **({"rebuilt": tick.rebuilt} if tick.rebuilt else {}),
        **({"refresh_needed": tick.refresh_needed} if tick.refresh_needed else {}),
    }


def describe_answer(answer: Answer, file: Path, preview: int) -> Metadata:
    """The result of a query job: counts, the file of the rows, and the first rows if a preview is requested."""
    counts: Mapping[str, Any] = answer.summary()["counts"] or {}
    return {
        "dagster/row_count": answer.row_count,
        "file": dg.MetadataValue.path(file),
        "manifest": dg.MetadataValue.path(file.parent / f"{file.stem}.manifest.json"),
        "rows": len(answer.rows),
        "valid_as_of": moment(answer.valid_as_of),
        "mode": answer.mode,
        "sources": ", ".join(answer.sources),
        "seconds": round(answer.seconds, 3),
        "quarantined": len(answer.quarantined),
        **({"generation": answer.generation} if answer.generation is not None else {}),
        **{name: count for name, count in counts.items() if name != "total"},
        **({"notes": " ".join(answer.notes)} if answer.notes else {}),
        **({"preview": _preview(answer, preview)} if preview and len(answer.rows) else {}),
    }


def moment(value: datetime) -> dg.TimestampMetadataValue:
    """A timestamp, which the UI shows in the time zone of the reader."""
    return dg.MetadataValue.timestamp(value)


def _preview(answer: Answer, rows: int) -> dg.TableMetadataValue:
    names = [column.name for column in answer.columns]
    records = [dg.TableRecord({n: _cell(v) for n, v in zip(names, row, strict=True)}) for row in answer.rows[:rows]]
    schema = dg.TableSchema([dg.TableColumn(column.name, column.type) for column in answer.columns])
    return dg.MetadataValue.table(records, schema)


def _cell(value: object) -> str | int | bool | None:
    if value is None or isinstance(value, str | bool | int):
        return value
    return to_json(value).strip('"')


def describe_tests(outcomes: Sequence[TestOutcome]) -> dict[str, Any]:
    """What the tests of one check found: counts, keys of resources, and what is wrong; no values."""
    problems = [f"{each.test}: {each.problem}" for each in outcomes if each.problem]
    return {
        "tests": len(outcomes),
        "rows": sum(each.rows for each in outcomes),
        "resources": ", ".join(key for each in outcomes for key in each.resources) or "none",
        "problem": "; ".join(problems) or ("none" if outcomes else "not run: the log of the refresh says why"),
    }


def describe_report(report: Report) -> Metadata:
    """The counts of an operations report."""
    status = report.status
    return {
        "healthy": status.healthy,
        "problems": "; ".join(status.problems) or "none",
        "generation": status.generation.number if status.generation else 0,
        "overlay_entries": status.overlay.entry_count if status.overlay else 0,
        "quarantined": len(status.quarantined),
        "mismatches": sum(each.mismatches for each in report.parities),
    }
