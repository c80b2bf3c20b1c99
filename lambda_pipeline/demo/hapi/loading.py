"""Load files of resources into the demo source: FHIR NDJSON, bundles and single resources, plain or gzipped.

How files are read stands in `source/ndjson.py`, how resources are stored in `bulk.py` and `bundles.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.bundles import ORDER
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hapi.tags import check_meta
from lambda_pipeline.errors import BadDataError
from lambda_pipeline.source.ndjson import read_content, read_lines

Progress = Callable[[Path, int], None]
"""Called after each page with the file and the number of its resources that are stored."""

PROCESSED = frozenset({"transaction", "batch"})
STORED = frozenset({"collection", "searchset"})
KEPT_WHOLE = frozenset({"collection", "document", "message"})
"""Types of bundles that HAPI stores as a resource, by default."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one file.

    Attributes:
        resources: number of resources that were stored, updated or deleted.
        reads: number of requests of a bundle that only read; they were left out.
        bad: lines that were left out: where they are, and why.
    """

    resources: int
    reads: int = 0
    bad: tuple[str, ...] = ()


def load_files(demo: DemoHapi, paths: Sequence[Path], *, progress: Progress | None = None) -> dict[Path, Loaded]:
    """Store the resources of these files, one file after the other.

    `*.ndjson` and `*.ndjson.gz` have one resource per line; `*.json` and `*.json.gz` hold one bundle or one resource.
    A line that cannot be used is left out. A bundle in a line is a resource like any other. A bundle in a file of its
    own is opened: one of type transaction or batch is processed as the server does; of a collection or searchset, each
    resource is stored under its own id, or that of its `urn:uuid:`. Placeholders are resolved in both. Each file is
    read to its end before anything of it is stored.

    Args:
        demo: the server that stores them.
        paths: the files.
        progress: called after each page.

    Returns:
        What became of each file.

    Raises:
        BadDataError: a file is missing or has another suffix; then nothing is stored. Or a file cannot be read to its
            end, or holds a bundle that cannot be used; the files before it stay stored.
    """
    for path in paths:
        _has_lines(path)
    return {path: _load(demo, path, progress) for path in paths}


def _load(demo: DemoHapi, path: Path, progress: Progress | None) -> Loaded:
    def report(count: int) -> None:
        if progress is not None:
            progress(path, count)

    if _has_lines(path):
        bad = _find_bad_lines(path)
        good = (line.text for line in read_lines(path) if line.text is not None and line.number not in bad)
        return Loaded(demo.load(good, progress=report), bad=tuple(f"{path.name} {place}" for place in bad.values()))
    data = read_content(path)
    try:
        content = bodies.parse(data)
    except BadDataError as error:
        raise BadDataError(f"{path.name}: {error}") from None
    if content.get("resourceType") != "Bundle":
        _check(path.name, content)
        return Loaded(demo.load([content], progress=report))
    return _load_bundle(demo, path.name, content, report)


def _load_bundle(demo: DemoHapi, name: str, bundle: Mapping[str, Any], report: Callable[[int], None]) -> Loaded:
    bundle_type, entries = bundle.get("type"), bundle.get("entry", [])
    if not isinstance(bundle_type, str) or bundle_type not in PROCESSED | STORED:
        raise BadDataError(
            f"{name}: bundle of type {str(bundle_type)[:80]!r}", hint=f"one of {', '.join(sorted(PROCESSED | STORED))}"
        )
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise BadDataError(f"{name}: entry is not a list of objects")
    for number, entry in enumerate(entries, start=1):
        _check_entry(f"{name} entry {number}", entry, processed=bundle_type in PROCESSED)
    if bundle_type in STORED:
        return Loaded(demo.load(_stored_resources(entries), progress=report))
    try:
        done = len(demo.transaction(bundle))
    except BadDataError as error:
        raise BadDataError(f"{name}: {error}") from None
    report(done)
    return Loaded(done, reads=len(entries) - done)


def _stored_resources(entries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The resources of a collection with their ids, which their references to each other use."""
    resources = [
        {
            **entry["resource"],
            "id": entry["resource"].get("id") or (entry.get("fullUrl") or "").removeprefix("urn:uuid:") or None,
        }
        for entry in entries
    ]
    targets = {
        entry["fullUrl"]: f"{resource['resourceType']}/{resource['id']}"
        for entry, resource in zip(entries, resources, strict=True)
        if entry.get("fullUrl") and resource["id"]
    }
    return (bodies.with_references(resource, targets) for resource in resources)


def _check_entry(place: str, entry: Mapping[str, Any], *, processed: bool) -> None:
    """Refuse an entry of a bundle that cannot be stored or, if the bundle is processed, performed."""
    _check_texts(place, entry, ("fullUrl",))
    method = "PUT"
    if processed:
        request = entry.get("request")
        if not isinstance(request, Mapping):
            raise BadDataError(f"{place}: no request")
        _check_texts(place, request, ("method", "url", "ifNoneExist"))
        method = request.get("method") or ""
        if method not in ORDER and method not in {"GET", "HEAD"}:
            raise BadDataError(f"{place}: unknown method {method[:80]!r}")
    if method in {"POST", "PUT"}:
        _check(place, entry.get("resource"))


def _check_texts(place: str, element: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if not isinstance(element.get(name), str | None):
            raise BadDataError(f"{place}: {name} is not text")


def _check(place: str, resource: object) -> None:
    """Refuse what the server would refuse, before anything is stored."""
    try:
        _check_resource(resource)
    except BadDataError as error:
        raise BadDataError(f"{place}: {error.message}", hint=error.hint) from None


def _check_resource(resource: object) -> None:
    if not isinstance(resource, Mapping):
        raise BadDataError("no resource")
    resource_type, logical_id = bodies.resource_type(resource), bodies.logical_id(resource)
    bodies.check_dates(resource)
    check_meta(resource.get("meta"))
    if resource_type == "Bundle" and str(resource.get("type")) not in KEPT_WHOLE:
        raise BadDataError(
            f"HAPI stores no bundle of type {str(resource.get('type'))[:80]!r}",
            hint="put it into a .json file of its own, so that its entries are loaded",
        )
    if logical_id is not None and logical_id.isdecimal():
        raise BadDataError(
            "id of digits only",
            hint="HAPI assigns such ids itself and refuses them from clients; add a letter",
        )


def _find_bad_lines(path: Path) -> dict[int, str]:
    """Lines that cannot be used, by number: where and why."""
    bad = {}
    for line in read_lines(path):
        if line.text is None:
            bad[line.number] = f"line {line.number}: is not UTF-8"
            continue
        try:
            _check_resource(bodies.parse(line.text))
        except BadDataError as error:
            bad[line.number] = f"line {line.number}: {error}"
    return bad


def _has_lines(path: Path) -> bool:
    """Whether the file has one resource per line.

    Raises:
        BadDataError: there is no such file, or its suffix is not known.
    """
    if not path.is_file():
        raise BadDataError(f"{path} is not a file")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in {".ndjson", ".jsonl", ".json"}:
        raise BadDataError(f"{path.name}: unknown kind of file", hint=".ndjson or .json, also with .gz")
    return suffix != ".json"
