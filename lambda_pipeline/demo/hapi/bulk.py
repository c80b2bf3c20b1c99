"""Store many resources quickly: the rows of new resources are written with COPY, page by page.

Reading files belongs in `loading`; single requests belong in `transaction`.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.application import ApplicationServer
from lambda_pipeline.demo.hapi.rows import FHIR_VERSION
from lambda_pipeline.demo.hapi.tags import Tag, tags_of
from lambda_pipeline.demo.hapi.transaction import Transaction

Progress = Callable[[int], None]
"""Called after each page with the total number of stored resources."""

PAGE = 2_000
"""Number of resources in one transaction; they share one timestamp, as in a large bundle."""

RESOURCE_COLUMNS = (
    "res_id, partition_id, res_version, has_tags, res_published, res_updated, fhir_id, sp_has_links, hash_sha256,"
    " sp_index_status, sp_cmpstr_uniq_present, sp_cmptoks_present, sp_coords_present, sp_date_present,"
    " sp_number_present, sp_quantity_nrml_present, sp_quantity_present, sp_string_present, sp_token_present,"
    " sp_uri_present, res_type, res_type_id, search_url_present, res_ver"
)
VERSION_COLUMNS = (
    "pid, partition_id, res_version, has_tags, res_published, res_updated, res_encoding, res_id, res_text_vc, res_type,"
    " res_type_id, res_ver"
)
TAG_COLUMNS = "pid, partition_id, tag_id, res_id, res_type, res_type_id"
VERSION_TAG_COLUMNS = "pid, partition_id, tag_id, res_ver_pid, res_id, res_type, res_type_id"


TagUse = tuple[Tag, int, int, str, int | None]
"""A tag, and the PID of the version row, RES_ID, type and RES_TYPE_ID of the resource that has it."""


def load(
    server: ApplicationServer, loaded: Iterable[bodies.Resource | str], *, progress: Progress | None = None
) -> int:
    """Store resources page by page, each page in one transaction: new ones as version 1, known ids like a PUT.

    Args:
        server: stores the resources.
        loaded: resources, or their JSON; a resource without `id` gets one.
        progress: called after each page.

    Returns:
        The number of resources.

    Raises:
        BadDataError: an item is not a resource; the pages before it stay stored.
    """
    count = 0
    source = iter(loaded)
    while page := [bodies.parse(item) if isinstance(item, str) else item for item in islice(source, PAGE)]:
        _store_page(server, page)
        count += len(page)
        if progress is not None:
            progress(count)
    return count


def _store_page(server: ApplicationServer, page: list[bodies.Resource]) -> None:
    new: list[bodies.Resource] = []
    changed: list[bodies.Resource] = []
    with Transaction(server) as transaction:
        keys = [(bodies.resource_type(resource), bodies.logical_id(resource)) for resource in page]
        known = transaction.find_existing(
            (resource_type, logical_id) for resource_type, logical_id in keys if logical_id is not None
        )
        for (resource_type, logical_id), resource in zip(keys, page, strict=True):
            if logical_id is not None and ((resource_type, logical_id) in known or logical_id.isdecimal()):
                changed.append(resource)
                continue
            if logical_id is not None:
                known.add((resource_type, logical_id))
            new.append(resource)
        _copy_new(server, transaction, new)
        for resource in changed:
            transaction.update(resource)


def _copy_new(server: ApplicationServer, transaction: Transaction, new: list[bodies.Resource]) -> None:
    connection, stamp, partition = transaction.connection, transaction.stamp, server.partition
    res_ids = server.numbers.take(connection, "seq_resource_id", len(new))
    pids = server.numbers.take(connection, "seq_resource_history_id", len(new))
    resource_rows: list[tuple[object, ...]] = []
    version_rows: list[tuple[object, ...]] = []
    tag_uses: list[TagUse] = []
    for resource, res_id, pid in zip(new, res_ids, pids, strict=True):
        resource_type = bodies.resource_type(resource)
        text, tags = bodies.stored_text(resource), tags_of(resource.get("meta"))
        type_id = server.type_id(resource_type)
        logical_id = bodies.logical_id(resource) or str(res_id)
        flags = (False,) * 10
        resource_rows.append(
            (res_id, partition, FHIR_VERSION, bool(tags), stamp, stamp, logical_id, False, bodies.content_hash(text), 0,
             *flags, resource_type, type_id, False, 1)
        )  # fmt: skip
        version_rows.append(
            (pid, partition, FHIR_VERSION, bool(tags), stamp, stamp, "JSON", res_id, text, resource_type, type_id, 1)
        )
        tag_uses.extend((tag, pid, res_id, resource_type, type_id) for tag in tags)
    with connection.cursor() as cursor:
        for table, columns, rows in (
            ("hfj_resource", RESOURCE_COLUMNS, resource_rows),
            ("hfj_res_ver", VERSION_COLUMNS, version_rows),
            ("hfj_res_tag", TAG_COLUMNS, _tag_rows(server, transaction, tag_uses)),
            ("hfj_history_tag", VERSION_TAG_COLUMNS, _version_tag_rows(server, transaction, tag_uses)),
        ):
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)


def _tag_rows(server: ApplicationServer, transaction: Transaction, tag_uses: list[TagUse]) -> list[tuple[object, ...]]:
    keys = server.numbers.take(transaction.connection, "seq_restag_id", len(tag_uses))
    return [
        (key, server.partition, server.tag_id(tag), res_id, resource_type, type_id)
        for key, (tag, _pid, res_id, resource_type, type_id) in zip(keys, tag_uses, strict=True)
    ]


def _version_tag_rows(
    server: ApplicationServer, transaction: Transaction, tag_uses: list[TagUse]
) -> list[tuple[object, ...]]:
    keys = server.numbers.take(transaction.connection, "seq_historytag_id", len(tag_uses))
    return [
        (key, server.partition, server.tag_id(tag), pid, res_id, resource_type, type_id)
        for key, (tag, pid, res_id, resource_type, type_id) in zip(keys, tag_uses, strict=True)
    ]
