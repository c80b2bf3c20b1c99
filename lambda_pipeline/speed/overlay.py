"""The overlay in Redis: reading it, noticing what Redis lost of it, and the two scripts that change it.

What the state says belongs in `state`, what an entry holds in `entry`, whether the overlay may be used in `coverage`,
what is captured of one resource in `point_reads`.

Everything that changes the overlay is one script that first compares `revision`, so that two pollers, or a poller and
a prune, cannot interleave. Everything a reader needs comes from one MULTI, so that it sees whole polls only. The
argument: docs/guarantees.md, "A poll becomes visible at once", "Gaps are seen" and "Pruning takes nothing away".
"""

import glob
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from lambda_pipeline.errors import ConfigurationError, RedisUnavailableError
from lambda_pipeline.settings import Settings
from lambda_pipeline.source import ResourceKey, SnapshotMark
from lambda_pipeline.speed import coverage
from lambda_pipeline.speed.entry import Entry, key_of, member, rows_name
from lambda_pipeline.speed.redis_errors import redis_errors
from lambda_pipeline.speed.state import OverlayState
from lambda_pipeline.speed.stored_state import find_loss, find_restart, parse_polls, parse_state

_SCRIPTS = Path(__file__).parent
_FIELDS_A_COMMAND = 500
_STAGE_TTL_S = 600
_STAGED_LOST = -1
_CHANGED_MEANWHILE = 0
_PRUNE_CAME_LATE = -1


@dataclass(frozen=True, slots=True)
class OverlayStatus:
    """The overlay as it was found.

    Attributes:
        state: None when there is none, or one that cannot be read.
        revision: of what is there, for the comparison when something is published; empty when nothing is.
        run_id: of the Redis process.
        lost: what Redis lost, in words; empty when everything is there.
    """

    state: OverlayState | None
    revision: str
    run_id: str
    lost: str


@dataclass(frozen=True, slots=True)
class OverlayRead:
    """One atomic read of the overlay for some views.

    Attributes:
        state: None when there is none.
        lost: what Redis lost, in words; empty when everything is there.
        polls: sequence number and mark of every poll that has entries, in order.
        rows: for each view by name: member -> packed entry.
    """

    state: OverlayState | None
    lost: str
    polls: Sequence[tuple[int, SnapshotMark]]
    rows: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did.

    Attributes:
        forgotten: entries that were removed.
        state: the state after it; None when nothing was pruned.
    """

    forgotten: int
    state: OverlayState | None


class Overlay:
    """The speed layer's store.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        settings: prefix, timeouts, TTLs.

    Raises:
        ConfigurationError: not a Redis URL.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        try:
            self.client = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=settings.redis_timeout_s,
                socket_connect_timeout=settings.redis_timeout_s,
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise ConfigurationError(f"REDIS_URL: {error}", hint="redis://host:6379/0 or unix:///path?db=0") from None
        self.settings = settings
        self.prefix = f"{settings.redis_prefix}:"
        self._publish = self.client.register_script((_SCRIPTS / "publish.lua").read_text())
        self._prune = self.client.register_script((_SCRIPTS / "prune.lua").read_text())

    def read_status(self) -> OverlayStatus:
        """State, and whether everything it speaks of is still there."""
        with redis_errors():
            with self.client.pipeline(transaction=True) as pipeline:
                pipeline.info("server")
                pipeline.hgetall(self.prefix + "state")
                server, fields = pipeline.execute()
            state = parse_state(fields)
            revision = fields.get("revision", "")
            if state is None:
                return OverlayStatus(None, revision, server["run_id"], "there is no overlay in Redis")
            with self.client.pipeline(transaction=True) as pipeline:
                pipeline.hgetall(self.prefix + "state")
                pipeline.zcard(self.prefix + "polls")
                for name in state.views:
                    pipeline.hlen(f"{self.prefix}rows:{name}")
                for resource_type in state.types:
                    pipeline.zcard(f"{self.prefix}order:{resource_type}")
                    pipeline.hlen(f"{self.prefix}seen:{resource_type}")
                again, polls, *lengths = pipeline.execute()
        types = [*state.views.values(), *(resource_type for resource_type in state.types for _ in range(2))]
        lost = find_restart(state, server["run_id"])
        if again.get("revision") == revision:
            lost = find_loss(state, server["run_id"], list(zip(types, lengths, strict=True)), polls)
        return OverlayStatus(state, revision, server["run_id"], lost)

    def read(self, digests: Mapping[str, str]) -> OverlayRead:
        """State, polls and entries of these views in one MULTI: whole polls only.

        Args:
            digests: of the definitions whose rows are asked for, by the view's name.

        Raises:
            RedisUnavailableError: Redis cannot be read.
        """
        keys = {name: rows_name(name, digest) for name, digest in digests.items()}
        with redis_errors(), self.client.pipeline(transaction=True) as pipeline:
            pipeline.info("server")
            pipeline.hgetall(self.prefix + "state")
            pipeline.zrange(self.prefix + "polls", 0, -1)
            for key in keys.values():
                pipeline.hgetall(f"{self.prefix}rows:{key}")
            server, fields, polls, *rows = pipeline.execute()
        state = parse_state(fields)
        if state is None:
            return OverlayRead(None, "there is no overlay in Redis", (), {})
        # A definition that the overlay does not capture has no rows to lose: `coverage` says that.
        lengths = [
            (state.views[key], len(entries))
            for key, entries in zip(keys.values(), rows, strict=True)
            if key in state.views
        ]
        lost = find_loss(state, server["run_id"], lengths, len(polls))
        return OverlayRead(state, lost, parse_polls(polls), dict(zip(keys, rows, strict=True)))

    def fingerprints_of(self, resource_type: str, keys: Sequence[ResourceKey]) -> list[str | None]:
        """Fingerprints of the entries of these resources, in their order; None for a resource without an entry."""
        if not keys:
            return []
        with redis_errors():
            held = self.client.hmget(f"{self.prefix}seen:{resource_type}", [member(key) for key in keys])
        return cast("list[str | None]", held)

    def all_fingerprints(self, types: Sequence[str]) -> dict[ResourceKey, str]:
        """Fingerprints of all entries of these types."""
        with redis_errors(), self.client.pipeline(transaction=True) as pipeline:
            for resource_type in types:
                pipeline.hgetall(f"{self.prefix}seen:{resource_type}")
            found = pipeline.execute()
        return {
            key_of(resource_type, name): fingerprint
            for resource_type, fingerprints in zip(types, found, strict=True)
            for name, fingerprint in fingerprints.items()
        }

    def publish(
        self, state: OverlayState, found: OverlayStatus, entries: Sequence[Entry], *, rebuild: bool
    ) -> OverlayState | None:
        """Make a poll's entries and its mark visible at once.

        Args:
            state: the new state; its revision is the old one plus 1.
            found: what the poll started from; it must still be there.
            entries: what it captured.
            rebuild: forget everything else in the same step.

        Returns:
            The state as it is now, with its counts. None when the overlay changed meanwhile: nothing was published,
            poll again.

        Raises:
            RedisUnavailableError: Redis refused or went away; nothing was published.
        """
        stage = f"{self.prefix}stage:{secrets.token_hex(8)}:"
        staged = _staged(state, entries, self.prefix)
        plan = {
            "rebuild": rebuild,
            "seq": state.seq,
            "mark": str(state.mark),
            "types": {resource_type: self.settings.ttl_s(resource_type) for resource_type in state.types},
            "views": dict(state.views),
            "forget": sorted({*_keys(state), *self._keys_of(found.state)}) if rebuild else [],
            "staged": sorted({entry.change.key.type for entry in entries}),
            "counts": {name: len(fields) for name, fields in staged.items()},
        }
        with redis_errors():
            with self.client.pipeline(transaction=False) as pipeline:
                _write(pipeline, stage, staged)
                pipeline.execute()
            arguments = [self.prefix, found.revision, stage, json.dumps(plan), *state.fields()]
            outcome = self._publish(args=arguments)
        if outcome == _STAGED_LOST:
            raise RedisUnavailableError(
                "Redis lost entries of a poll before they could be published; nothing was",
                hint="give it memory, and set maxmemory-policy noeviction",
            )
        return None if outcome == _CHANGED_MEANWHILE else state.with_counts(json.loads(outcome))

    def _keys_of(self, state: OverlayState | None) -> set[str]:
        """Keys that hold entries, without the prefix; where the state was lost, Redis is searched for them."""
        if state is not None:
            return set(_keys(state))
        with redis_errors():
            found = self.client.scan_iter(match=glob.escape(self.prefix) + "*", count=10_000)
            names = {str(key).removeprefix(self.prefix) for key in found}
        return {name for name in names if name.startswith(("order:", "seen:", "rows:"))}

    def prune(self, generation: int, mark: SnapshotMark) -> Pruned:
        """Forget what a published generation covers.

        Args:
            generation: its number.
            mark: its snapshot; "complete since" becomes it.

        Returns:
            What was forgotten: nothing when a poll came in between, since the next one prunes.
        """
        with redis_errors():
            with self.client.pipeline(transaction=True) as pipeline:
                pipeline.hgetall(self.prefix + "state")
                pipeline.zrange(self.prefix + "polls", 0, -1)
                fields, polls = pipeline.execute()
            state = parse_state(fields)
            # An older generation must not prune after a newer one.
            if state is None or not state.complete_since.covered_by(mark):
                return Pruned(0, None)
            covered = coverage.covered_seq(state, parse_polls(polls), mark)
            plan = {"types": state.types, "views": dict(state.views)}
            now = replace(state, revision=state.revision + 1, complete_since=mark, pruned_for=generation)
            changed = [
                "revision", str(now.revision), "complete_since", str(mark), "pruned_for", str(generation)
            ]  # fmt: skip
            outcome = self._prune(args=[self.prefix, str(state.revision), covered, json.dumps(plan), *changed])
        if outcome == _PRUNE_CAME_LATE:
            return Pruned(0, None)
        counts = json.loads(outcome)
        return Pruned(counts["forgotten"], now.with_counts(counts))

    def size_bytes(self, state: OverlayState) -> int:
        """Memory of everything it keeps, estimated by Redis from samples; one MEMORY USAGE per key."""
        names = ["state", "polls", *_keys(state)]
        return sum(self._sizes(names)) + state.envelope_bytes

    def bytes_by_type(self, state: OverlayState) -> dict[str, int]:
        """The same memory by resource type, without state, marks and point reads."""
        names = [(of_type, f"{name}:{of_type}") for of_type in state.types for name in ("order", "seen")]
        names += [(of_type, f"rows:{name}") for name, of_type in state.views.items()]
        total = dict.fromkeys(state.types, 0)
        for (of_type, _), size in zip(names, self._sizes([name for _, name in names]), strict=True):
            total[of_type] += size
        return total

    def _sizes(self, names: Sequence[str]) -> list[int]:
        """Memory of each of these keys, without the prefix; 0 for one that is not there."""
        with redis_errors(), self.client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.memory_usage(self.prefix + name, samples=20)
            return [size or 0 for size in pipeline.execute()]

    def clear(self) -> None:
        """Forget everything; the next poll makes the overlay again from the source."""
        with redis_errors():
            self.client.unlink(self.prefix + "state")

    def close(self) -> None:
        """Close pooled connections."""
        self.client.close()


def _staged(state: OverlayState, entries: Sequence[Entry], prefix: str) -> dict[str, dict[str, str]]:
    """What a poll publishes: hashes by name, each member -> value."""
    now = datetime.now(UTC)
    staged: dict[str, dict[str, str]] = {}
    for entry in entries:
        resource_type = entry.change.key.type
        staged.setdefault(f"seen:{resource_type}", {})[entry.member] = entry.change.fingerprint
        staged.setdefault(f"envelopes:{resource_type}", {})[entry.member] = entry.point_read(
            now, f"{prefix}{state.seq}"
        )
        for name in (name for name, of_type in state.views.items() if of_type == resource_type):
            staged.setdefault(f"rows:{name}", {})[entry.member] = entry.packed(name, state.seq)
    return staged


def _write(pipeline: Pipeline, stage: str, staged: Mapping[str, Mapping[str, str]]) -> None:
    for name, fields in staged.items():
        items = list(fields.items())
        for start in range(0, len(items), _FIELDS_A_COMMAND):
            pipeline.hset(stage + name, mapping=dict(items[start : start + _FIELDS_A_COMMAND]))
        pipeline.expire(stage + name, _STAGE_TTL_S)


def _keys(state: OverlayState) -> list[str]:
    """Keys that hold entries of this state, without the prefix."""
    by_type = [f"{name}:{resource_type}" for resource_type in state.types for name in ("order", "seen")]
    return [*by_type, *(f"rows:{name}" for name in state.views)]
