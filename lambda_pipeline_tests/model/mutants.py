"""Seeded mistakes: one place of the product each, as such systems have had them. The model must notice every one.

`seeding` puts each of them into a copy of the package, which then runs the tests' own histories.
"""

from lambda_pipeline_tests.model.seeding import Mutant

MUTANTS = (
    # The merge.
    Mutant(
        "tombstones are dropped",
        "serving.read:_uncovered",
        "return dict(entries)",
        'return {name: packed for name, packed in entries.items() if json.loads(packed)["r"]}',
    ),
    Mutant(
        "tombstones do not shadow",
        "serving.merge:_MERGED",
        "newer._partition = batch._partition",
        "newer._rows <> '[]'",
    ),
    Mutant(
        "the overlay is filtered before the merge",
        "serving.service:Serving.query",
        "layer = layers.layers[view]",
        """\
layer = layers.layers[view]
layer = replace(
    layer,
    entries={
        name: packed for name, packed in layer.entries.items() if all(f'"{each.value}"' in packed for each in where)
    },
)""",
    ),
    Mutant(
        "the overlay always wins, whatever the generation covers",
        "serving.read:_Read.merged",
        "_uncovered(entries, covered)",
        "_uncovered(entries, 0)",
        ("oddities",),
    ),
    Mutant(
        "an entry of the covering poll itself is used",
        "serving.read:_uncovered",
        'json.loads(packed)["s"] > covered',
        'json.loads(packed)["s"] >= covered',
    ),
    Mutant(
        "the frontier is the overlay's, even if the generation is later",
        "serving.read:_Read._frontier",
        "state.mark.later(self.generation.mark)",
        "state.mark",
    ),
    Mutant(
        "unreadable resources are not reported",
        "serving.read:_overlay_quarantine",
        "'\"q\": [' in packed",
        "'\"Q\": [' in packed",
        ("oddities",),
    ),
    # Coverage.
    Mutant(
        "snapshots are compared without their running transactions",
        "source.snapshot:SnapshotMark.covered_by",
        "all(transaction in self.running for transaction in other.running if transaction < self.xmax)",
        "True",
        ("late",),
    ),
    Mutant(
        "lost entries are not counted",
        "speed.overlay:_missing",
        "length != state.entries.get(kind, 0)",
        "length > state.entries.get(kind, 0)",
        ("faults",),
    ),
    Mutant(
        "two definitions of a view share their rows",
        "speed.entry:rows_key",
        'f"{view.name}:{view.digest[:16]}"',
        'f"{view.name}:"',
        ("views",),
    ),
    # Capture.
    Mutant(
        "what was running when the last poll looked is taken for seen",
        "source.changes:changes_since",
        "str(since.xmin)",
        "str(since.xmax)",
        ("late",),
    ),
    Mutant(
        "a transaction at the edge of the last snapshot is left out",
        "source.changes:_RESOURCE_WRITTEN",
        "age(r.xmin) <= age(",
        "age(r.xmin) < age(",
        ("stamps", "late"),
    ),
    Mutant(
        "deletes are left out of the changes",
        "source.changes:_RESOURCE_WRITTEN",
        "r.res_type = ANY (%(types)s)",
        "r.res_type = ANY (%(types)s) AND r.res_deleted_at IS NULL",
        ("stamps",),
    ),
    Mutant(
        "a resource that is held is not captured again",
        "speed.poll:Poller._unseen",
        "held != change.fingerprint",
        "held is None",
    ),
    Mutant(
        "stamps decide what a poll reads, without any overlap",
        "speed.poll_plan:lookback_bound",
        "floor - timedelta(seconds=settings.poll_overlap_s)",
        "floor",
        ("stamps",),
    ),
    Mutant(
        "what goes without a trace is not looked for",
        "speed.poll:Poller._new",
        "basis.state.digest.lacks_after(created, digest)",
        "False",
        ("oddities",),
    ),
    Mutant(
        "a version row that is missing loses its resource",
        "source.tables:_EXCEPTIONS",
        "x.res_ver <= e.res_ver",
        "x.res_ver = e.res_ver",
        ("oddities",),
    ),
    Mutant(
        "the mark moves before the entries are there",
        "speed.poll:Poller._attempt",
        "self.overlay.publish(state, inspection, entries, rebuild=bool(basis.rebuild))",
        "self.overlay.publish(state, inspection, (), rebuild=bool(basis.rebuild)) and self.overlay.publish("
        "replace(state, revision=state.revision + 1), self.overlay.read_status(), entries, rebuild=False)",
        ("interleaved", "faults"),
    ),
    # Publish and prune.
    Mutant(
        "two pollers publish over each other",
        "speed/publish.lua",
        "if (redis.call('HGET', state, 'revision') or '') ~= expected then",
        "if false then",
        ("interleaved",),
    ),
    Mutant(
        "a rebuild keeps what was there",
        "speed/publish.lua",
        "if plan.rebuild then",
        "if false then",
        ("interleaved", "faults"),
    ),
    Mutant(
        "a prune forgets all that was there when it began",
        "speed.overlay:Overlay.prune",
        'covered = OverlayRead(state, "", _polls(polls), {}).covered_seq(mark)',
        "covered = state.seq",
        ("late", "interleaved"),
    ),
    # The generation.
    Mutant(
        "each statement of a refresh has a snapshot of its own",
        "database:repeatable_read",
        "psycopg.IsolationLevel.REPEATABLE_READ",
        "psycopg.IsolationLevel.READ_COMMITTED",
        ("interleaved",),
    ),
    Mutant(
        "a refresh does not compare the keys",
        "batch.refresh:_Refresh._changed",
        "compare_keys(self.connection, tables, types)",
        "compare_keys(self.connection, tables, types)[:0]",
        ("oddities",),
    ),
    Mutant(
        "a refresh does not write down the keys of what changed",
        "batch.refresh:_Refresh.publish",
        "update_keys(self.connection, self.filler.tables, changed)",
        "update_keys(self.connection, self.filler.tables, {})",
        ("oddities",),
    ),
    Mutant(
        "a refresh leaves the rows of what is deleted",
        "batch.refresh:_Refresh._update",
        "keys = [resource.key for resource in changed]",
        "keys = [resource.key for resource in changed if resource.res_id is not None]",
    ),
    Mutant(
        "a changed definition keeps the old rows",
        "batch.refresh:_Refresh._make",
        "before is None or before.view.digest != view.digest",
        "before is None",
        ("views",),
    ),
)
