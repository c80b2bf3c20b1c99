"""Seeded mistakes: one line of the product each, as such systems have had them. The model must notice every one.

Each is applied to a copy of the package (`mutated`), which then runs the tests' own histories.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake.

    Attributes:
        name: what is wrong.
        file: below `lambda_pipeline/`.
        line: what stands there, once.
        instead: what stands there now.
        kinds: of histories that are likely to show it, tried first.
    """

    name: str
    file: str
    line: str
    instead: str
    kinds: tuple[str, ...] = ("plain",)

    @property
    def source(self) -> Path:
        """The file in the project."""
        return PROJECT / "lambda_pipeline" / self.file


MUTANTS = (
    # The merge.
    Mutant(
        "tombstones are dropped",
        "serving/read.py",
        "        return dict(entries)\n",
        '        return {name: packed for name, packed in entries.items() if json.loads(packed)["r"]}\n',
    ),
    Mutant(
        "tombstones do not shadow",
        "serving/merge.py",
        "WHERE newer._id = batch._id AND newer._partition = batch._partition)\n   UNION ALL",
        "WHERE newer._id = batch._id AND newer._rows <> '[]')\n   UNION ALL",
    ),
    Mutant(
        "the overlay is filtered before the merge",
        "serving/service.py",
        "            layer = layers.layers[view]\n",
        "            layer = layers.layers[view]; layer = replace(layer, entries={name: packed for name, packed in"
        " layer.entries.items() if all(f'\"{each.value}\"' in packed for each in where)})\n",
    ),
    Mutant(
        "the overlay always wins, whatever the generation covers",
        "serving/read.py",
        "_uncovered(entries, covered) for name",
        "_uncovered(entries, 0) for name",
        ("oddities",),
    ),
    Mutant(
        "an entry of the covering poll itself is used",
        "serving/read.py",
        'if json.loads(packed)["s"] > covered}',
        'if json.loads(packed)["s"] >= covered}',
    ),
    Mutant(
        "the frontier is the overlay's, even if the generation is later",
        "serving/read.py",
        "return state.mark.later(self.generation.mark)",
        "return state.mark",
    ),
    Mutant(
        "unreadable resources are not reported",
        "serving/read.py",
        """if '"q": [' in packed and""",
        """if '"Q": [' in packed and""",
        ("oddities",),
    ),
    # Coverage.
    Mutant(
        "snapshots are compared without their running transactions",
        "source/snapshot.py",
        "and all(transaction in self.running for transaction in other.running if transaction < self.xmax)",
        "and True",
        ("late",),
    ),
    Mutant(
        "lost entries are not counted",
        "speed/overlay.py",
        "if length != state.entries.get(kind, 0):",
        "if length > state.entries.get(kind, 0):",
        ("faults",),
    ),
    Mutant(
        "two definitions of a view share their rows",
        "speed/entry.py",
        'return f"{view.name}:{view.digest[:16]}"',
        'return f"{view.name}:"',
        ("views",),
    ),
    # Capture.
    Mutant(
        "what was running when the last poll looked is taken for seen",
        "source/changes.py",
        '"since": str(since.xmin)',
        '"since": str(since.xmax)',
        ("late",),
    ),
    Mutant(
        "a transaction at the edge of the last snapshot is left out",
        "source/changes.py",
        "WHERE age(r.xmin) <= age(%(since)s::text::xid8::xid) AND r.res_type",
        "WHERE age(r.xmin) < age(%(since)s::text::xid8::xid) AND r.res_type",
        ("stamps", "late"),
    ),
    Mutant(
        "deletes are left out of the changes",
        "source/changes.py",
        "AND r.res_type = ANY (%(types)s) AND {narrowed}",
        "AND r.res_type = ANY (%(types)s) AND r.res_deleted_at IS NULL AND {narrowed}",
        ("stamps",),
    ),
    Mutant(
        "a resource that is held is not captured again",
        "speed/poll.py",
        "if held != change.fingerprint",
        "if held is None",
    ),
    Mutant(
        "stamps decide what a poll reads, without any overlap",
        "speed/poll_plan.py",
        "return None if floor is None else floor - timedelta(seconds=settings.poll_overlap_s)",
        "return floor",
        ("stamps",),
    ),
    Mutant(
        "what goes without a trace is not looked for",
        "speed/poll.py",
        "basis.state.digest.lacks_after(created, digest)",
        "False",
        ("oddities",),
    ),
    Mutant(
        "a version row that is missing loses its resource",
        "source/tables.py",
        "x.res_ver <= e.res_ver",
        "x.res_ver = e.res_ver",
        ("oddities",),
    ),
    Mutant(
        "the mark moves before the entries are there",
        "speed/poll.py",
        "if not self.overlay.publish(state, inspection, entries, rebuild=bool(basis.rebuild)):",
        "if not self.overlay.publish(state, inspection, (), rebuild=bool(basis.rebuild)) or not self.overlay.publish("
        "replace(state, revision=state.revision + 1), self.overlay.inspect(), entries, rebuild=False):",
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
        "speed/overlay.py",
        'covered = OverlayRead(state, "", _polls(polls), {}).covered_seq(mark)',
        "covered = state.seq",
        ("late", "interleaved"),
    ),
    # The generation.
    Mutant(
        "each statement of a refresh has a snapshot of its own",
        "database.py",
        "connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ",
        "connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED",
        ("interleaved",),
    ),
    Mutant(
        "a refresh does not compare the keys",
        "batch/refresh.py",
        "for resource in compare_keys(self.connection, tables, types)}",
        "for resource in compare_keys(self.connection, tables, types)[:0]}",
        ("oddities",),
    ),
    Mutant(
        "a refresh does not write down the keys of what changed",
        "batch/refresh.py",
        "record_changed_keys(self.connection, self.filler.tables, changed)",
        "record_changed_keys(self.connection, self.filler.tables, {})",
        ("oddities",),
    ),
    Mutant(
        "a refresh leaves the rows of what is deleted",
        "batch/refresh.py",
        "keys = [resource.key for resource in changed]",
        "keys = [resource.key for resource in changed if resource.res_id is not None]",
    ),
    Mutant(
        "a changed definition keeps the old rows",
        "batch/refresh.py",
        "if before is None or before.view.digest != view.digest:",
        "if before is None:",
        ("views",),
    ),
)


@contextmanager
def mutated(mutant: Mutant, folder: Path) -> Iterator[Path]:
    """A folder from which Python imports the project with this mistake."""
    text = mutant.source.read_text(encoding="utf-8")
    if text.count(mutant.line) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has this line {text.count(mutant.line)} times")
    root = folder / "mutated"
    shutil.copytree(PROJECT / "lambda_pipeline", root / "lambda_pipeline")
    for name in ("lambda_pipeline_tests", "sql", "dagster.yaml"):
        (root / name).symlink_to(PROJECT / name)
    (root / "lambda_pipeline" / mutant.file).write_text(text.replace(mutant.line, mutant.instead), encoding="utf-8")
    yield root
    shutil.rmtree(root)
