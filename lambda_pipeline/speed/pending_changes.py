"""Which changes a poll, or a read of the window, must capture: those that rows show, and those without a trace.

`xmin` shows which rows were written. An expunged resource and a removed tag leave no row: a digest over all rows shows
that something is missing, and then a comparison of keys shows what. Flattening belongs in `flatten_changes`. The
argument: docs/guarantees.md, "A poll sees whole transactions" and "Changes without a trace".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lambda_pipeline.batch.generation import Generation
from lambda_pipeline.batch.key_comparison import compare_keys, find_differences
from lambda_pipeline.database import Connection
from lambda_pipeline.source import (
    Change,
    HapiTables,
    ResourceKey,
    SnapshotMark,
    by_key,
    changes_since,
    current_state,
)
from lambda_pipeline.source.inventory import Digest, take_digest
from lambda_pipeline.source.type_digests import take_type_digests
from lambda_pipeline.speed.overlay import Overlay
from lambda_pipeline.speed.poll_plan import PollPlan
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.views.view import View

GONE = "gone"
"""Fingerprint of a resource that is no longer there."""

_VERSION_SCAN_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PollRead:
    """What one poll reads inside its database snapshot.

    Attributes:
        connection: in the snapshot.
        tables: HAPI's tables.
        generation: the published one.
        mark: of the snapshot.
        views: to capture, by `rows_key`.
        plan: what the poll builds upon.
    """

    connection: Connection
    tables: HapiTables
    generation: Generation
    mark: SnapshotMark
    views: Mapping[str, View]
    plan: PollPlan

    def find_changes(self, overlay: Overlay) -> tuple[list[Change], Digest]:
        """What to capture, and the digest of HAPI's tables that belongs to it.

        Args:
            overlay: asked for fingerprints of what it holds.
        """
        if self.plan.state is None:
            return self._differences_from_generation(), self._digest()
        changes = self._changed_rows(overlay)
        created = self._digest_of_created(changes)
        if not self.plan.exact:
            # No scan of all rows: the digest goes on as if nothing had disappeared, and the next sweep checks it.
            return changes, self.plan.state.digest.with_created(created)
        digest = self._digest()
        known = {change.key for change in changes}
        if self.plan.state.digest.lacks_after(created, digest):
            more = self._changes_without_trace(overlay, self.plan.state)
        elif self.plan.compare:
            more = self._differences_from_generation()
        else:
            more = []
        return [*changes, *(change for change in more if change.key not in known)], digest

    @property
    def types(self) -> set[str]:
        """Resource types that the views look at."""
        return {view.resource for view in self.views.values()}

    def _changed_rows(self, overlay: Overlay) -> list[Change]:
        """Changes that a row shows, without those that the overlay holds in the same state: these keep their mark."""
        candidates = changes_since(
            self.connection,
            self.tables,
            self.types,
            self.plan.since,
            updated_since=self.plan.updated_since,
            version_rows=self.plan.exact and self._has_few_version_rows(),
        )
        by_type: dict[str, list[Change]] = {}
        for change in by_key(self.connection, self.tables, candidates):
            by_type.setdefault(change.key.type, []).append(change)
        return [change for _, of_type in sorted(by_type.items()) for change in _not_held(overlay, of_type)]

    def _changes_without_trace(self, overlay: Overlay, state: OverlayState) -> list[Change]:
        held = overlay.all_fingerprints(state.types)
        return untracked_changes(
            self.connection, self.tables, self.generation, self.mark, held, relabel=self.plan.compare
        )

    def _differences_from_generation(self) -> list[Change]:
        """What may differ from the generation; also what is held in this state, since its label may be older."""
        return changes_since_generation(
            self.connection,
            self.tables,
            self.generation,
            self.mark,
            self.types,
            version_rows=self._has_few_version_rows(),
        )

    def _has_few_version_rows(self) -> bool:
        """Whether version rows, which hold the bodies, are few enough to be scanned by every poll."""
        row = self.connection.execute(
            "SELECT pg_relation_size(to_regclass(%(table)s)) <= %(limit)s",
            {"table": self.tables.schema.table("hfj_res_ver").as_string(), "limit": _VERSION_SCAN_MAX_BYTES},
        ).fetchone()
        return bool(row and row[0])

    def _digest(self) -> Digest:
        tagged = {view.resource for view in self.views.values() if view.complete_body}
        return take_digest(self.connection, self.tables, self.types, tagged)

    def _digest_of_created(self, changes: Sequence[Change]) -> Digest:
        first_versions = [change.res_id for change in changes if change.version == 1]
        return take_digest(self.connection, self.tables, self.types, (), first_versions)


def changes_since_generation(
    connection: Connection,
    tables: HapiTables,
    generation: Generation,
    mark: SnapshotMark,
    types: Collection[str],
    *,
    version_rows: bool = True,
) -> list[Change]:
    """Everything that a generation must be corrected for, to be true in this snapshot.

    Args:
        connection: in the snapshot.
        tables: HAPI's tables.
        generation: the published one.
        mark: of the snapshot.
        types: resource types.
        version_rows: as in `changes_since`.
    """
    unseen = changes_since(connection, tables, types, generation.mark, version_rows=version_rows)
    changes = by_key(connection, tables, unseen)
    # A generation knows the keys of its own types only; resources of others have no rows to be corrected.
    known = [change for change in changes if change.key.type in generation.types]
    digests = take_type_digests(connection, tables, set(types) & generation.types)
    differing = find_differences(connection, tables, generation.digests, known, digests)
    untracked = {resource.key for resource in differing} - {change.key for change in changes}
    return [*changes, *current_states(connection, tables, untracked, mark)]


def current_states(
    connection: Connection, tables: HapiTables, keys: Collection[ResourceKey], mark: SnapshotMark
) -> list[Change]:
    """The current state of each of these resources; those that are gone count as deleted."""
    if not keys:
        return []
    found = current_state(connection, tables, keys)
    missing = sorted(set(keys) - {change.key for change in found})
    return [*found, *(Change(0, key, 0, mark.taken_at, deleted=True, fingerprint=GONE) for key in missing)]


def untracked_changes(
    connection: Connection,
    tables: HapiTables,
    generation: Generation,
    mark: SnapshotMark,
    held: Mapping[ResourceKey, str],
    *,
    relabel: bool,
) -> list[Change]:
    """What differs from the overlay, or from the generation where the overlay has nothing, by comparing all keys.

    Args:
        connection: in the snapshot.
        tables: HAPI's tables.
        generation: the published one.
        mark: of the snapshot.
        held: fingerprints of all overlay entries.
        relabel: also give what the overlay holds in its present state, if it differs from the generation: the entry may
            be from before the generation, which then saw a state in between that left no trace.
    """
    differing = {resource.key for resource in compare_keys(connection, tables, generation.types)}
    now = current_states(connection, tables, differing | held.keys(), mark)
    return [
        change for change in now if held.get(change.key) != change.fingerprint or (relabel and change.key in differing)
    ]


def _not_held(overlay: Overlay, of_type: Sequence[Change]) -> list[Change]:
    held = overlay.fingerprints_of(of_type[0].key.type, [change.key for change in of_type])
    return [change for change, known in zip(of_type, held, strict=True) if known != change.fingerprint]
