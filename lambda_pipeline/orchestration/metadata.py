"""What Dagster shows of views, generations, ticks and answers: no row of a patient unless it is asked for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from lambda_pipeline.batch.generation import SCHEMA, Generation, PublishedView, Repairs
from lambda_pipeline.deployment import Deployment
from lambda_pipeline.errors import AnswerRefusedError, LambdaPipelineError
from lambda_pipeline.operations.parity import Parity, ViewParity
from lambda_pipeline.serving import Answer
from lambda_pipeline.serving.cells import to_json
from lambda_pipeline.serving.frames import python_values
from lambda_pipeline.speed.tick import Tick
from lambda_pipeline.views import View

Metadata = dict[str, Any]

NAMED_RESOURCES = 20
"""So many resources are named where there may be any number."""

PARITY_COLUMNS = ("mode", "view", "checked", "changed_since", "undecided", "mismatches")


def of_view(view: View) -> Metadata:
    """What is known of a view before anything ran: shown in the catalog."""
    return {
        "dagster/column_schema": column_schema(view),
        "definition": view.file,
        "statement": dg.MetadataValue.md(f"```sql\n{view.statement}\n```"),
    }


def of_batch_view(view: View) -> Metadata:
    """The same for its batch relation, which people may query under this name."""
    return {
        **of_view(view),
        "dagster/table_name": f"{SCHEMA}.{view.name}",
        "refresh": "Always of all views, from one snapshot; materializing some of them reports only those.",
    }


def of_refresh(view: PublishedView, generation: Generation, before: Generation | None) -> Metadata:
    """What a refresh did for one view."""
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
        "repaired": dg.MetadataValue.json(of_repairs(generation.repairs.get(view.view.resource))),
        **({"schema_change": dg.MetadataValue.json(change)} if change else {}),
    }


def of_repairs(repairs: Repairs | None) -> Metadata:
    """What the comparison of keys found for one resource type: counts, and keys of the first."""
    found = repairs or Repairs()
    return {
        "gone": found.gone,
        "altered": found.altered,
        **({"resources": ", ".join(found.resources)} if found.resources else {}),
    }


def of_parity(parity: Parity, found: ViewParity) -> Metadata:
    """What a comparison with the recompute found for one view: counts and keys, never a value."""
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


def of_parities(parities: Sequence[Parity]) -> Metadata:
    """What a run compared: a table of counts by layer and view, and the seeds that choose the same resources again."""
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


def of_error(error: LambdaPipelineError) -> Metadata:
    """What an error says of itself: its code, and for a refusal what was missing and how to get an answer anyway."""
    if isinstance(error, AnswerRefusedError):
        return {"error": error.code, "reason": error.message, "missing": error.missing, "ways_out": error.hint}
    return {"error": error.code, "reason": str(error)}


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
    """Columns added, removed and of another type; empty when there are none."""
    old = {column.name: column.type for column in before.columns}
    new = {column.name: column.type for column in after.columns}
    changes = {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "retyped": [f"{name}: {old[name]} to {new[name]}" for name in new if name in old and old[name] != new[name]],
    }
    return {kind: names for kind, names in changes.items() if names}


def of_tick(tick: Tick, deployment: Deployment) -> Metadata:
    """What a tick captured, and how large the overlay is."""
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


def of_answer(answer: Answer, file: Path, preview: int) -> Metadata:
    """What a query job found: counts and where the rows are, and the first rows if they are asked for."""
    counts: Mapping[str, Any] = answer.summary()["counts"] or {}
    return {
        "dagster/row_count": answer.row_count,
        "file": dg.MetadataValue.path(file),
        "manifest": dg.MetadataValue.path(file.parent / f"{file.stem}.manifest.json"),
        "rows": len(answer.frame),
        "valid_as_of": moment(answer.valid_as_of),
        "mode": answer.mode,
        "sources": ", ".join(answer.sources),
        "seconds": round(answer.seconds, 3),
        "quarantined": len(answer.quarantined),
        **({"generation": answer.generation} if answer.generation is not None else {}),
        **{name: count for name, count in counts.items() if name != "total"},
        **({"notes": " ".join(answer.notes)} if answer.notes else {}),
        **({"preview": _preview(answer, preview)} if preview and len(answer.frame) else {}),
    }


def moment(value: datetime) -> dg.TimestampMetadataValue:
    """A moment, which the UI shows in the reader's zone."""
    return dg.MetadataValue.timestamp(value)


def _preview(answer: Answer, rows: int) -> dg.TableMetadataValue:
    first = answer.frame.head(rows)
    names = [column.name for column in answer.columns]
    values = zip(*python_values(first, answer.columns), strict=True)
    records = [dg.TableRecord({n: _cell(v) for n, v in zip(names, row, strict=True)}) for row in values]
    schema = dg.TableSchema([dg.TableColumn(column.name, column.type) for column in answer.columns])
    return dg.MetadataValue.table(records, schema)


def _cell(value: object) -> str | int | bool | None:
    if value is None or isinstance(value, str | bool | int):
        return value
    return to_json(value).strip('"')
