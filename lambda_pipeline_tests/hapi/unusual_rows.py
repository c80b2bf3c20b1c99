"""Rows that readers of HAPI's tables must expect, but that no request to HAPI 8.8 leaves.

Each function takes an open transaction, or a server, on which it opens a transaction and commits it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lambda_pipeline.demo.hapi import bodies
from lambda_pipeline.demo.hapi.outcome import Outcome, RequestRefusedError
from lambda_pipeline.demo.hapi.server import DemoHapi
from lambda_pipeline.demo.hapi.transaction import Transaction


def write_raw(
    target: DemoHapi | Transaction, resource_type: str, logical_id: str, text: str | None, *, encoding: str = "JSON",
    large_object: bytes | None = None,
) -> Outcome:  # fmt: skip
    """Write a version with any body: not JSON, an unknown encoding, no body, or a large object.

    Args:
        target: where to write.
        resource_type: type of a new or an existing resource.
        logical_id: its id.
        text: RES_TEXT_VC.
        encoding: RES_ENCODING, such as `ESR`, or `JSONC` for gzip in a large object as HAPI 6 wrote it.
        large_object: content of RES_TEXT.
    """
    with _transaction(target) as transaction:
        rows = transaction._rows
        oid = None
        if large_object is not None:
            ((oid,),) = transaction.connection.execute(
                "SELECT lo_from_bytea(0, %(content)s)", {"content": large_object}
            ).fetchall()
        current = rows.current(resource_type, logical_id)
        if current is None:
            (res_id,) = transaction._server.numbers.take(transaction.connection, "seq_resource_id")
            rows.insert(res_id, resource_type, logical_id, text, frozenset(), encoding=encoding, large_object=oid)
            return Outcome(resource_type, logical_id, 1, 201)
        version, stamp, has_tags = current.version + 1, transaction.stamp, current.has_tags
        text_hash = bodies.content_hash(text or "")
        rows.set_resource(current, version, stamp, deleted_at=None, text_hash=text_hash, has_tags=has_tags)
        rows.write_version(
            current.res_id, resource_type, version, stamp, current.published, encoding=encoding, text=text,
            has_tags=has_tags, large_object=oid,
        )  # fmt: skip
        return Outcome(resource_type, logical_id, version, 200)


def rewrite_history(target: DemoHapi | Transaction, resource: bodies.Resource, version: int) -> None:
    """Give an existing version another body and timestamp, and keep its number (a history rewrite).

    Raises:
        RequestRefusedError: 404, there is no such version.
    """
    resource_type, logical_id = bodies.resource_type(resource), bodies.logical_id(resource)
    text = bodies.stored_text(resource)
    with _transaction(target) as transaction:
        current = transaction._rows.current(resource_type, logical_id or "")
        changed = current and transaction.connection.execute(
            "UPDATE hfj_res_ver SET res_text_vc = %(text)s, res_encoding = 'JSON', res_updated = %(stamp)s"
            " WHERE res_id = %(res_id)s AND res_ver = %(version)s",
            {"text": text, "stamp": transaction.stamp, "res_id": current.res_id, "version": version},
        )
        if current is None or not changed or not changed.rowcount:
            raise RequestRefusedError(f"{resource_type}/{logical_id} has no version {version}", status=404)
        if version == current.version:
            transaction.connection.execute(
                "UPDATE hfj_resource SET res_updated = %(stamp)s, hash_sha256 = %(hash)s WHERE res_id = %(res_id)s",
                {"stamp": transaction.stamp, "hash": bodies.content_hash(text), "res_id": current.res_id},
            )


def lose_version(target: DemoHapi | Transaction, resource_type: str, logical_id: str) -> None:
    """Remove the row of the current version, as servers before 6.4 left it after a delete or a no-op update."""
    with _transaction(target) as transaction:
        current = transaction._rows.current(resource_type, logical_id)
        if current is not None:
            parameters = {"pid": transaction._rows.version_pid(current)}
            transaction.connection.execute("DELETE FROM hfj_history_tag WHERE res_ver_pid = %(pid)s", parameters)
            transaction.connection.execute("DELETE FROM hfj_res_ver WHERE pid = %(pid)s", parameters)


@contextmanager
def _transaction(target: DemoHapi | Transaction) -> Iterator[Transaction]:
    if isinstance(target, Transaction):
        yield target
    else:
        with target.open_transaction() as transaction:
            yield transaction
