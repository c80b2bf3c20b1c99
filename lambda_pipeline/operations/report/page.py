"""The report as one HTML page that loads nothing from elsewhere: style and charts are in it, and no script."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from lambda_pipeline.errors import BadRequestError
from lambda_pipeline.operations.parity_record import ParityRecord
from lambda_pipeline.operations.report.charts import Bar, bar_chart, history_chart
from lambda_pipeline.operations.report.collect import Report
from lambda_pipeline.operations.status import PipelineStatus

NAMED = 20
"""Resources that are named for one view; all are counted."""

BIGGEST = 10


def to_page(report: Report) -> str:
    """The page."""
    status = report.status
    state, colour = ("healthy", "good") if status.healthy else ("unhealthy", "bad")
    sections = [
        ("Freshness", _freshness(status)),
        ("Overlay by type", _overlay(status)),
        ("Refreshes", _refreshes(report)),
        ("Parity", _parity(report)),
        ("Quarantine", _quarantine(status)),
        ("Biggest views", _views(report)),
    ]
    body = "\n".join(f"<section>\n<h2>{title}</h2>\n{content}\n</section>" for title, content in sections)
    problems = "".join(f"<li>{escape(problem)}</li>" for problem in status.problems)
    notes = "".join(f"<li>{escape(note)}</li>" for note in status.notes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>lambda_pipeline: operations report</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Operations report</h1>
<p>As of {_moment(status.looked_at)}: <strong class="{colour}">{state}</strong></p>
{f'<ul class="bad">{problems}</ul>' if problems else ""}
{f"<ul>{notes}</ul>" if notes else ""}
{body}
</body>
</html>
"""


def write_page(report: Report, file: Path) -> None:
    """Replace a file by the page at once: a reader sees the old page or the new one.

    Raises:
        BadRequestError: the file cannot be written.
    """
    unfinished = file.with_name(f"{file.name}.part")
    try:
        unfinished.write_text(to_page(report), encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        raise BadRequestError(f"{file} cannot be written: {error.strerror}") from None


def _freshness(status: PipelineStatus) -> str:
    facts = []
    if status.frontier is None:
        facts.append(("a live answer", "cannot be given"))
    else:
        age = f"{status.lag_s or 0:,.1f} s ago, from {' and '.join(status.sources)}"
        facts.append(("a live answer is valid as of", f"{_moment(status.frontier)}, {age}"))
    if status.generation is None:
        facts.append(("generation", "none has been published"))
    else:
        age_h = (status.looked_at - status.generation.valid_as_of).total_seconds() / 3600
        kind = f"{status.generation.number} ({status.generation.build_kind})"
        facts.append(
            ("generation", f"{kind}, valid as of {_moment(status.generation.valid_as_of)}, {age_h:,.1f} h ago")
        )
    if status.overlay is not None and status.overlay.polled_at is not None:
        facts.append(("last poll", _moment(status.overlay.polled_at)))
    if status.overlay is not None:
        facts.append(("gap of the overlay", status.overlay.gap or "none"))
    return _table((), facts)


def _overlay(status: PipelineStatus) -> str:
    if status.overlay is None:
        return "<p>The speed layer is off.</p>"
    found = sorted(status.overlay.entries.items(), key=lambda item: (-item[1], item[0]))
    bars = [Bar(name, count, f"{count:,}") for name, count in found if count]
    size = f"<p>{status.overlay.entry_count:,} entries, {status.overlay.size_bytes:,} bytes.</p>"
    return size + (bar_chart("Entries of the overlay by resource type", bars) if bars else "")


def _refreshes(report: Report) -> str:
    if not report.refreshes:
        return "<p>No generation has been published.</p>"
    rows = [
        (
            str(each.number),
            each.build_kind,
            _moment(each.published_at),
            f"{each.seconds:,.1f}",
            f"{each.rows:,}",
            f"{each.changes:,}",
            str(each.failures),
        )
        for each in reversed(report.refreshes)
    ]
    headers = ("generation", "kind", "published", "seconds", "rows", "changes", "views not as defined")
    return history_chart(report.refreshes) + _folded(f"the last {len(rows)} refreshes", _table(headers, rows))


def _parity(report: Report) -> str:
    if report.parity_problem:
        return f"<p>No comparison can be shown: {escape(report.parity_problem)}</p>"
    if not report.parities:
        return "<p>Nothing has been compared yet.</p>"
    headers = ("view", "mode", "compared", "differing", "which", "when")
    return _table(headers, [_compared(record) for record in report.parities])


def _compared(record: ParityRecord) -> tuple[str, ...]:
    found = record.parity.views[record.view]
    named = _named([one.resource for one in found.mismatches], record.mismatches)
    made = _moment(record.made_at)
    return record.view, record.parity.mode, f"{found.checked:,}", f"{record.mismatches:,}", named, made


def _quarantine(status: PipelineStatus) -> str:
    by_view: dict[str, list[str]] = defaultdict(list)
    for one in status.quarantined:
        by_view[one.view].append(one.resource)
    if not by_view:
        return "<p>Every resource can be read.</p>"
    rows = [(view, f"{len(keys):,}", _named(sorted(keys), len(keys))) for view, keys in sorted(by_view.items())]
    return _table(("view", "resources", "which"), rows)


def _views(report: Report) -> str:
    if not report.sizes:
        return "<p>No view is published.</p>"
    bars = [Bar(each.view, each.size_bytes, _size(each.size_bytes)) for each in report.sizes[:BIGGEST]]
    rows = [
        (each.view, f"{each.rows:,}", f"{each.resources:,}", _size(each.size_bytes)) for each in report.sizes[:BIGGEST]
    ]
    table = _table(("view", "rows", "resources", "table and indexes"), rows)
    return bar_chart("Size of the tables of the biggest views", bars) + table


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>\n{body}\n</tbody>\n</table>"


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _named(keys: Sequence[str], count: int) -> str:
    shown = keys[:NAMED]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return f"{', '.join(shown)}{more}"


def _size(size_bytes: int) -> str:
    for unit, factor in _units():
        if size_bytes >= factor:
            return f"{size_bytes / factor:,.1f} {unit}"
    return f"{size_bytes} bytes"


def _units() -> Iterator[tuple[str, int]]:
    yield from (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1d2433 }
table { border-collapse: collapse }
th, td { border-bottom: 1px solid #d8dce5; padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top }
svg { display: block; max-width: 100%; height: auto; margin: .6rem 0 }
.bad { color: #c8553d }
.good { color: #3a7d44 }
"""
