"""The state of the overlay: the one hash in Redis that makes the rest of it readable.

It is written only by the two scripts, together with the entries it speaks of. Whether it fits a generation is decided
in `coverage`. The argument: docs/guarantees.md, "A poll becomes visible at once".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lambda_pipeline.source import SnapshotMark
from lambda_pipeline.source.inventory import Digest
from lambda_pipeline.speed.lookback import LookbackPoint


@dataclass(frozen=True, slots=True)
class OverlayState:
    """What the overlay says of itself.

    Attributes:
        epoch: changes with every rebuild.
        revision: changes with every script that changed anything.
        seq: of the last poll; entries carry the seq of theirs.
        mark: snapshot of the last poll: every change it saw is in.
        complete_since: every change after this snapshot is in.
        exact_mark: snapshot of the last exact poll, which trusts no timestamp.
        watermark: newest of HAPI's timestamps that a poll saw.
        lookback_points: how far back a ranged poll must read, see `lookback`; ordered by number.
        compared_with: number of the last generation whose keys a poll compared it with.
        digest: of all rows of HAPI's tables as of `mark`; it shows what disappeared without a trace.
        views: `rows_key` -> resource type of every definition it holds rows for.
        entries: number of entries by resource type.
        run_id: of the Redis process that was written to.
        pruned_for: number of the last generation it was pruned for.
        envelope_bytes: size of the point-read values.
        polls: number of polls whose marks it keeps.
    """

    epoch: str
    revision: int
    seq: int
    mark: SnapshotMark
    complete_since: SnapshotMark
    exact_mark: SnapshotMark
    watermark: datetime
    lookback_points: tuple[LookbackPoint, ...]
    compared_with: int
    digest: Digest
    views: Mapping[str, str]
    entries: Mapping[str, int]
    run_id: str
    pruned_for: int
    envelope_bytes: int = 0
    polls: int = 0

    @property
    def types(self) -> list[str]:
        """Resource types it captures."""
        return sorted(set(self.views.values()))

    @property
    def entry_count(self) -> int:
        """Entries of all types."""
        return sum(self.entries.values())

    def with_counts(self, counts: Mapping[str, Any]) -> "OverlayState":
        """The same state with the counts that a script returned: `entries`, `envelope_bytes` and `polls`."""
        # Lua writes an empty table as an array where it could be an object.
        entries = dict(counts["entries"] or {})
        return replace(self, entries=entries, envelope_bytes=counts["envelope_bytes"], polls=counts["polls"])

    def fields(self) -> list[str]:
        """As field, value, field, value for the scripts, which keep `entries`, `envelope_bytes` and `polls`."""
        pairs = {
            "epoch": self.epoch,
            "revision": str(self.revision),
            "seq": str(self.seq),
            "mark": str(self.mark),
            "complete_since": str(self.complete_since),
            "exact_mark": str(self.exact_mark),
            "watermark": self.watermark.isoformat(),
            "stamp_floors": json.dumps([[point.number, point.moment.isoformat()] for point in self.lookback_points]),
            "compared_with": str(self.compared_with),
            "digest": str(self.digest),
            "views": json.dumps(dict(self.views)),
            "run_id": self.run_id,
            "pruned_for": str(self.pruned_for),
        }
        return [text for pair in pairs.items() for text in pair]

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "OverlayState":
        """From the hash in Redis.

        Raises:
            KeyError, ValueError: the hash was not written by this project.
        """
        return cls(
            epoch=fields["epoch"],
            revision=int(fields["revision"]),
            seq=int(fields["seq"]),
            mark=SnapshotMark.parse(fields["mark"]),
            complete_since=SnapshotMark.parse(fields["complete_since"]),
            exact_mark=SnapshotMark.parse(fields["exact_mark"]),
            watermark=datetime.fromisoformat(fields["watermark"]),
            lookback_points=tuple(
                LookbackPoint(number, datetime.fromisoformat(moment))
                for number, moment in json.loads(fields["stamp_floors"])
            ),
            compared_with=int(fields["compared_with"]),
            digest=Digest.parse(fields["digest"]),
            views=json.loads(fields["views"]),
            entries={
                name.removeprefix("entries:"): int(count)
                for name, count in fields.items()
                if name.startswith("entries:")
            },
            run_id=fields["run_id"],
            pruned_for=int(fields["pruned_for"]),
            envelope_bytes=int(fields.get("envelope_bytes", 0)),
            polls=int(fields.get("polls", 0)),
        )
