"""The last comparison of each view and mode, kept in Redis: whoever made it, Dagster and metrics can show it.

How rows are compared does not belong here (`parity.py`).
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import redis

from lambda_pipeline.operations.parity import Mismatch, Parity, ServedMode, ViewParity
from lambda_pipeline.serving.service import Serving
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.redis_errors import redis_errors

_KEY = "parity"
_NAMED = 100
"""At most this many resources are kept by key; their number is always exact."""


@dataclass(frozen=True, slots=True)
class ParityRecord:
    """The last comparison of one view in one mode.

    Attributes:
        view: its name.
        parity: the comparison, of this view alone; it names at most 100 resources of each kind.
        mismatches: number of resources that differed.
        made_at: when it was made, in UTC, by the clock of who made it.
    """

    view: str
    parity: Parity
    mismatches: int
    made_at: datetime


def record_parity(serving: Serving, parity: Parity) -> None:
    """Keep a comparison; where Redis is away it is not kept, and nothing else happens."""
    if serving.overlay is None or not serving.settings.speed_layer:
        return
    now = datetime.now(UTC)
    fields = {f"{parity.mode}:{name}": _pack(parity, found, now) for name, found in parity.views.items()}
    with suppress(redis.RedisError):
        for name, text in fields.items():
            serving.overlay.client.hset(serving.overlay.prefix + _KEY, name, text)


def read_parities(overlay: Overlay) -> dict[tuple[ServedMode, str], ParityRecord]:
    """The last comparison by mode and view; what this version cannot read is left out.

    Raises:
        RedisUnavailableError: Redis cannot be read.
    """
    with redis_errors(), overlay.client.pipeline(transaction=False) as pipeline:
        pipeline.hgetall(overlay.prefix + _KEY)
        (fields,) = pipeline.execute()
    records = {}
    for name, text in fields.items():
        with suppress(ValueError, KeyError, TypeError):
            record = _unpack(name.partition(":")[2], json.loads(text))
            records[record.parity.mode, record.view] = record
    return records


def _pack(parity: Parity, found: ViewParity, made_at: datetime) -> str:
    facts = asdict(replace(parity, views={}))
    return json.dumps(
        {
            **facts,
            "valid_as_of": parity.valid_as_of.isoformat(),
            "made_at": made_at.isoformat(),
            "count": len(found.mismatches),
            "checked": found.checked,
            "changed": found.changed,
            "undecided": found.undecided[:_NAMED],
            "mismatches": [asdict(one) for one in found.mismatches[:_NAMED]],
        }
    )


def _unpack(view: str, fields: Mapping[str, Any]) -> ParityRecord:
    found = ViewParity(
        checked=int(fields["checked"]),
        changed=int(fields["changed"]),
        undecided=tuple(fields["undecided"]),
        mismatches=tuple(Mismatch(**one) for one in fields["mismatches"]),
    )
    parity = Parity(
        mode=fields["mode"],
        sample=fields["sample"],
        seed=int(fields["seed"]),
        valid_as_of=datetime.fromisoformat(fields["valid_as_of"]),
        generation=int(fields["generation"]),
        sources=tuple(fields["sources"]),
        notes=tuple(fields["notes"]),
        views={view: found},
        seconds=float(fields["seconds"]),
    )
    return ParityRecord(view, parity, int(fields["count"]), datetime.fromisoformat(fields["made_at"]))
