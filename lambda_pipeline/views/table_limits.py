"""What PostgreSQL can hold of a view: how many columns, how wide a row, and which names are free.

A view is refused before it is built, since a row that its table cannot hold would be missing from one layer alone.
"""

import re
from collections.abc import Iterator, Sequence

from lambda_pipeline.views.view import KEY_COLUMNS, RESERVED_NAMES, Column

SYSTEM_COLUMNS = frozenset(("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"))
"""Columns that every table of PostgreSQL has."""

MAX_COLUMNS = 1_600 - len(KEY_COLUMNS)

_PHYSICAL_NAME = re.compile(r"__\d+(_|$)")
"""The batch layer calls physical tables `<view>__<n>`, and PostgreSQL their indexes `<view>__<n>_<columns>_idx`."""

_PAGE_BYTES = 8_160
_ROW_HEADER_BYTES = 24
_KEY_BYTES = 48
_WIDEST_BYTES = {"boolean": 1, "smallint": 8, "integer": 8, "date": 8, "bigint": 16, "time": 16, "timestamp": 16,
                 "timestamptz": 16}  # fmt: skip
"""Bytes of a value within its row, with padding."""
_WIDEST_OTHER_BYTES = 24
"""A longer text, number, list or binary is stored beside the row, and a pointer in it."""


def is_taken(name: str) -> bool:
    """Whether a view of this name would collide with a table or an index of the batch layer."""
    return name.lower() in RESERVED_NAMES or _PHYSICAL_NAME.search(name) is not None


def exceeded(columns: Sequence[Column]) -> Iterator[str]:
    """Which limits these columns exceed, in words."""
    count = len(columns)
    if count > MAX_COLUMNS:
        yield f"the view has {count:,} columns, and a table of PostgreSQL can hold {MAX_COLUMNS:,} of them"
        return
    widths = (_WIDEST_BYTES.get(column.type.partition("(")[0], _WIDEST_OTHER_BYTES) for column in columns)
    row = _ROW_HEADER_BYTES + count // 8 + _KEY_BYTES + sum(widths)
    if row > _PAGE_BYTES:
        yield (
            f"a row of the {count:,} columns can take {row:,} bytes, and PostgreSQL can hold {_PAGE_BYTES:,}"
            f" ({_WIDEST_OTHER_BYTES} for a text, number or list)"
        )
