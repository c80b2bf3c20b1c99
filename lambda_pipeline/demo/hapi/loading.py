"""Files of resources: FHIR NDJSON and bundles, plain or gzipped, into the demo source."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.bundles import ORDER
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.errors import BadDataError

Progress = Callable[[Path, int], None]
"""Called after each page with the file and the number of its resources stored so far."""

REQUESTED = frozenset({"transaction", "batch"})
HELD = frozenset({"collection", "searchset"})


def load_files(demo: DemoHapi, paths: Sequence[Path], *, progress: Progress | None = None) -> dict[Path, int]:
    """Store what the files hold, one file after the other.

    `*.ndjson` and `*.ndjson.gz` have one resource per line; `*.json` and `*.json.gz` hold one bundle or one resource.
    A bundle of type transaction or batch is processed as the server does; of a collection or searchset, each resource
    is stored under its own id, or that of its `urn:uuid:`. Placeholders are resolved in both. Each file is read through
    before anything of it is written.

    Args:
        demo: where to.
        paths: the files.
        progress: called now and then.

    Returns:
        How many resources each file held.

    Raises:
        BadDataError: a file is missing or has another suffix: nothing is stored. Or a line or bundle cannot be used:
            names file and line, and the files before it stay stored.
    """
    for path in paths:
        _lines_of(path)
    return {path: _load(demo, path, progress) for path in paths}


def _load(demo: DemoHapi, path: Path, progress: Progress | None) -> int:
    def report(count: int) -> None:
        if progress is not None:
            progress(path, count)

    if _lines_of(path):
        for number, resource in _numbered(path):
            _check(f"{path.name} line {number}", resource)
        return demo.load((resource for _, resource in _numbered(path)), progress=report)
    with _opened(path) as file:
        try:
            content = bodies.parse(file.read())
        except BadDataError as error:
            raise BadDataError(f"{path.name}: {error}") from None
    if content.get("resourceType") != "Bundle":
        _check(path.name, content)
        return demo.load([content], progress=report)
    return _load_bundle(demo, path.name, content, report)


def _load_bundle(demo: DemoHapi, name: str, bundle: Mapping[str, Any], report: Callable[[int], None]) -> int:
    kind, entries = bundle.get("type"), bundle.get("entry", [])
    if kind not in REQUESTED | HELD:
        raise BadDataError(f"{name}: bundle of type {kind!r}", hint=f"one of {', '.join(sorted(REQUESTED | HELD))}")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise BadDataError(f"{name}: entry is not a list of objects")
    for number, entry in enumerate(entries, start=1):
        if kind in HELD or (entry.get("request") or {}).get("method") in {"POST", "PUT"}:
            _check(f"{name} entry {number}", entry.get("resource"))
    if kind in HELD:
        return demo.load(_held(entries), progress=report)
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


def _held(entries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The resources of a collection, with ids, referring to each other by them."""
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
    """Refuse what the server would refuse, before anything is written."""
    if not isinstance(resource, Mapping):
        raise BadDataError(f"{place}: no resource")
    try:
        kind, logical_id = bodies.resource_type(resource), bodies.logical_id(resource)
        bodies.check_dates(resource)
    except BadDataError as error:
        raise BadDataError(f"{place}: {error}") from None
    if kind == "Bundle":
        raise BadDataError(f"{place}: a bundle", hint="bundles go into .json files")
    if logical_id is not None and logical_id.isdecimal():
        raise BadDataError(
            f"{place}: id of digits only", hint="HAPI gives such ids itself and refuses them from clients; add a letter"
        )


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with _opened(path) as file:
        for number, line in _guarded(path, enumerate(file, start=1)):
            if not line.strip():
                continue
            try:
                yield number, bodies.parse(line)
            except BadDataError as error:
                raise BadDataError(f"{path.name} line {number}: {error}") from None


def _guarded(path: Path, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    try:
        yield from lines
    except (EOFError, OSError, zlib.error) as error:
        raise BadDataError(f"{path.name}: cannot be read to its end: {error}") from None


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _lines_of(path: Path) -> bool:
    """Whether the file has one resource per line.

    Raises:
        BadDataError: no such file, or a name that does not tell.
    """
    if not path.is_file():
        raise BadDataError(f"{path} is not a file")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in {".ndjson", ".jsonl", ".json"}:
        raise BadDataError(f"{path.name}: unknown kind of file", hint=".ndjson or .json, also with .gz")
    return suffix != ".json"
