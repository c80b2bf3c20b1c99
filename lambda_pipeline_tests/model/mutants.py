"""Seeded mistakes: one place of the product each, as such systems have had them. The model must notice every one.

`seeding` puts each of them into a copy of the package, which then runs the tests' own histories.
"""

from lambda_pipeline_tests.model.seeding import Mutant

MUTANTS = (
    # The merge.
    Mutant(
        "tombstones are dropped",
        "serving.read:_drop_covered",
        "return dict(entries)",
        "return {name: packed for name, packed in entries.items() if PackedEntry(packed).rows}",
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
        "merge_input = read.inputs[view]",
        """\
merge_input = read.inputs[view]
merge_input = replace(
    merge_input,
    entries={
        name: packed
        for name, packed in merge_input.entries.items()
        if all(f'"{each.value}"' in packed for each in where)
    },
)""",
    ),
    Mutant(
        "the overlay always wins, whatever the generation covers",
        "serving.read:_LiveRead.merge",
        "_drop_covered(entries, covered)",
        "_drop_covered(entries, 0)",
        ("oddities",),
    ),
    Mutant(
        "an entry of the covering poll itself is used",
        "serving.read:_drop_covered",
        "PackedEntry(packed).seq > covered",
        "PackedEntry(packed).seq >= covered",
    ),
    Mutant(
        "the frontier is the overlay's, even if the generation is later",
        "serving.read:_LiveRead._frontier",
        "return state.mark.later(self.generation.mark)",
        "return state.mark",
    ),
    Mutant(
        "unreadable resources are not reported",
        "speed.entry:PackedEntry.quarantine_reason",
        "_QUARANTINE in self.text",
        "False",
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
        "speed.stored_state:_missing",
        "length != expected",
        "length > expected",
        ("faults",),
    ),
    Mutant(
        "two definitions of a view share their rows",
        "speed.entry:rows_name",
        "f'{view}:{digest[:16]}'",
        "f'{view}:'",
        ("views",),
    ),
    Mutant(
        "another table under the same name is taken for the one that was read",
        "source.snapshot:SnapshotMark.find_break",
        "self.identity.difference(now.identity) if self.identity else _UNRECORDED",
        "''",
        ("swaps",),
    ),
    Mutant(
        "an overlay that no poll has compared with the generation is used",
        "speed.coverage:find_gap",
        "state.compared_with != generation.number and not covers_all(generation, state)",
        "False",
        ("oddities",),
    ),
    Mutant(
        "the window is read from another table than the generation's",
        "serving.read:_LiveRead._require_source",
        "broken = self.generation.mark.find_break(self.mark)",
        "broken = ''",
        ("swaps",),
    ),
    # Capture.
    Mutant(
        "what was running when the last poll looked is taken for seen",
        "source.changes:changes_since",
        "since.xmin",
        "since.xmax",
        ("late",),
    ),
    Mutant(
        "a transaction at the edge of the last snapshot is left out",
        "source.changes:_RESOURCE_WRITTEN",
        "age(r.xmin) <= age(%(since)s::text::xid8::xid)",
        "age(r.xmin) < age(%(since)s::text::xid8::xid)",
        ("stamps", "late"),
    ),
    Mutant(
        "deletes are left out of the changes",
        "source.changes:_RESOURCE_WRITTEN",
        "AND r.res_type = ANY (%(types)s) AND {narrowed}",
        "AND r.res_type = ANY (%(types)s) AND r.res_deleted_at IS NULL AND {narrowed}",
        ("stamps",),
    ),
    Mutant(
        "a resource that is held is not captured again",
        "speed.pending_changes:_not_held",
        "known != change.fingerprint",
        "known is None",
    ),
    Mutant(
        "stamps decide what a poll reads, without any overlap",
        "speed.poll_plan:lookback_bound",
        "oldest - timedelta(seconds=settings.poll_overlap_s)",
        "oldest",
        ("stamps",),
    ),
    Mutant(
        "what goes without a trace is not looked for",
        "speed.pending_changes:PollRead.find_changes",
        "self.plan.state.digest.lacks_after(created, digest)",
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
        "the rows of one view are kept for another",
        "speed.flatten_changes:_all_at_once",
        "sql.Literal(name)",
        "sql.Literal(min(views))",
    ),
    Mutant(
        "a resource that one view cannot read spoils the other views",
        "speed.flatten_changes:_Page.read",
        "self._unreadable.setdefault(failed.key, {})[name] = failed",
        "self._unreadable[failed.key] = dict.fromkeys(self._views, failed)",
        ("oddities",),
    ),
    Mutant(
        "the mark moves before the entries are there",
        "speed.poll:Poller._publish",
        "state = self.overlay.publish("
        "_next_state(read, status, captured), status, captured.entries, rebuild=read.plan.rebuild is not None)",
        """\
new = _next_state(read, status, captured)
state = self.overlay.publish(new, status, (), rebuild=read.plan.rebuild is not None)
state = state and self.overlay.publish(
    replace(new, revision=new.revision + 1), self.overlay.read_status(), captured.entries, rebuild=False
)""",
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
        "covered = coverage.covered_seq(state, parse_polls(polls), mark)",
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
        "a refresh does not look for what left without a trace",
        "batch.refresh:_Refresh._find_changes",
        "find_differences(self.connection, tables, self.last.digests, changes, now)",
        "[]",
        ("oddities",),
    ),
    Mutant(
        "the digest of now is taken for the one that the changes explain",
        "batch.key_comparison:find_differences",
        "digest != explained.get(name)",
        "name not in explained",
        ("oddities",),
    ),
    Mutant(
        "a digest leaves the tags out",
        "source.type_digests:take_type_digests",
        "tagged.get(name, 0)",
        "0",
        ("oddities",),
    ),
    Mutant(
        "the poll after a refresh keeps the labels of the overlay",
        "speed.pending_changes:PollRead.find_changes",
        "more = self._differences_from_generation()",
        "more = []",
        ("oddities",),
    ),
    Mutant(
        "a refresh does not write down the keys of what changed",
        "batch.refresh:_Refresh._record_keys",
        "record_changed_keys(self.connection, self.filler.tables, changed, found.recorded)",
        "None",
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
        "batch.refresh:_Refresh._attempts",
        "before is None or before.view.digest != view.digest",
        "before is None",
        ("views",),
    ),
)
