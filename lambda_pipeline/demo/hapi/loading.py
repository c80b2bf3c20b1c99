"""Load files of resources into the demo source: FHIR NDJSON, bundles and single resources, plain or gzipped.

How files are read stands in `source/ndjson.py`, how resources are stored in `bulk.py` and `bundles.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.bundles import ORDER
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import BadDataError
from lambda_pipeline.source.ndjson import read_content, read_lines

Progress = Callable[[Path, int], None]
"""Called after each page with the file and the number of its resources that are stored."""

PROCESSED = frozenset({"transaction", "batch"})
STORED = frozenset({"collection", "searchset"})


def load_files(demo: DemoHapi, paths: Sequence[Path], *, progress: Progress | None = None) -> dict[Path, int]:
    """Store the resources of these files, one file after the other.

    `*.ndjson` and `*.ndjson.gz` have one resource per line; `*.json` and `*.json.gz` hold one bundle or one resource.
    A bundle of type transaction or batch is processed as the server does. Of a collection or searchset, each resource
    is stored under its own id, or that of its `urn:uuid:`. Placeholders are resolved in both. Each file is checked to
    its end before anything of it is stored.

    Args:
        demo: the server that stores them.
        paths: the files.
        progress: called after each page.

    Returns:
        The number of resources of each file.

    Raises:
        BadDataError: a file is missing or has another suffix; then nothing is stored. Or a line or bundle cannot be
            used; the error names file and line, and the files before it stay stored.
    """
    for path in paths:
        _has_lines(path)
    return {path: _load(demo, path, progress) for path in paths}


def _load(demo: DemoHapi, path: Path, progress: Progress | None) -> int:
    def report(count: int) -> None:
        if progress is not None:
            progress(path, count)

    if _has_lines(path):
        for number, resource in _numbered(path):
            _check(f"{path.name} line {number}", resource)
        return demo.load((resource for _, resource in _numbered(path)), progress=report)
    data = read_content(path)
    try:
        content = bodies.parse(data)
    except BadDataError as error:
        raise BadDataError(f"{path.name}: {error}") from None
    if content.get("resourceType") != "Bundle":
        _check(path.name, content)
        return demo.load([content], progress=report)
    return _load_bundle(demo, path.name, content, report)


def _load_bundle(demo: DemoHapi, name: str, bundle: Mapping[str, Any], report: Callable[[int], None]) -> int:
    bundle_type, entries = bundle.get("type"), bundle.get("entry", [])
    if bundle_type not in PROCESSED | STORED:
        raise BadDataError(
            f"{name}: bundle of type {bundle_type!r}", hint=f"one of {', '.join(sorted(PROCESSED | STORED))}"
        )
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise BadDataError(f"{name}: entry is not a list of objects")
    for number, entry in enumerate(entries, start=1):
        if bundle_type in STORED or (entry.get("request") or {}).get("method") in {"POST", "PUT"}:
            _check(f"{name} entry {number}", entry.get("resource"))
    if bundle_type in STORED:
        return demo.load(_stored_resources(entries), progress=report)
    for number, entry in enumerate(entries, start=1):
        method = (entry.get("request") or {}).get("method")
        if method not in ORDER and method not in {"GET", "HEAD"}:
            raise BadDataError(f"{name} entry {number}: unknown method {method!r}")
    try:
        demo.transaction(bundle)
    except BadDataError as error:
        raise BadDataError(f"{name}: {error}") from None
    report(len(entries))
    return len(entries)


def _stored_resources(entries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The resources of a collection with their ids, which their references to each other use."""
    resources = [
        {
            **entry["resource"],
            "id": entry["resource"].get("id") or entry.get("fullUrl", "").removeprefix("urn:uuid:") or None,
        }
        for entry in entries
    ]
    targets = {
        entry["fullUrl"]: f"{resource['resourceType']}/{resource['id']}"
        for entry, resource in zip(entries, resources, strict=True)
        if entry.get("fullUrl") and resource["id"]
    }
    return (bodies.with_references(resource, targets) for resource in resources)


def _check(place: str, resource: object) -> None:
    """Refuse what the server would refuse, before anything is stored."""
    if not isinstance(resource, Mapping):
        raise BadDataError(f"{place}: no resource")
    try:
        resource_type, logical_id = bodies.resource_type(resource), bodies.logical_id(resource)
        bodies.check_dates(resource)
    except BadDataError as error:
        raise BadDataError(f"{place}: {error}") from None
    if resource_type == "Bundle":
        raise BadDataError(f"{place}: a bundle", hint="bundles go into .json files")
    if logical_id is not None and logical_id.isdecimal():
        raise BadDataError(
            f"{place}: id of digits only",
            hint="HAPI assigns such ids itself and refuses them from clients; add a letter",
        )


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in read_lines(path):
        try:
            yield line.number, bodies.parse(line.text)
        except BadDataError as error:
            raise BadDataError(f"{path.name} line {line.number}: {error}") from None


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
