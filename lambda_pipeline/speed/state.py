"""What the overlay says of itself: the one hash in Redis that makes the rest of it readable."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

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
        exact_mark: snapshot of the last poll that did not trust HAPI's clock.
        watermark: newest of HAPI's stamps that was seen.
        stamp_floors: how far back a ranged poll must read, see `speed.stamps`; by number.
        compared_with: number of the last generation whose keys a poll compared it with.
        digest: of all rows of HAPI's tables as of `mark`, to notice what goes without a trace.
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

    def fields(self) -> list[str]:
        """As field, value, field, value for the scripts; `entries`, `envelope_bytes` and `polls` are kept by them."""
        pairs = {
            "epoch": self.epoch,
            "revision": str(self.revision),
            "seq": str(self.seq),
            "mark": str(self.mark),
            "complete_since": str(self.complete_since),
            "exact_mark": str(self.exact_mark),
            "watermark": self.watermark.isoformat(),
            "stamp_floors": json.dumps([[floor.number, floor.stamp.isoformat()] for floor in self.lookback_points]),
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
            KeyError, ValueError: it is not one of ours.
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
                LookbackPoint(number, datetime.fromisoformat(stamp))
                for number, stamp in json.loads(fields["stamp_floors"])
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
