"""`upper()` and `lower()` give the same letters in databases of every locale."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from lambda_pipeline.views.letter_case import mapped
from lambda_pipeline_tests.support.servers import beside

LOCALES = {
    "C": "LOCALE_PROVIDER libc LOCALE 'C'",
    "C.UTF-8 of the operating system": "LOCALE_PROVIDER libc LOCALE 'C.utf8'",
    "C.UTF-8 of PostgreSQL": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
    "all of Unicode": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST' LOCALE 'C'",
    "Turkish of the operating system": "LOCALE_PROVIDER libc LOCALE 'tr_TR.utf8'",
    "Turkish of ICU": "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C'",
}
"""A locale that the server does not know is skipped; the embedded one has no Turkish."""
WORDS = [
    ("upper", "title", "TITLE"),
    ("lower", "TITLE", "title"),
    ("upper", "çilek ığüş", "ÇILEK IĞÜŞ"),
    ("lower", "ÇİLEK IĞÜŞ", "çİlek iğüş"),
    ("upper", "čapek, łódź, straße", "ČAPEK, ŁÓDŹ, STRAßE"),
    ("upper", "ĳ ŋ \u017f µ ÿ", "Ĳ Ŋ S \u039c Ÿ"),
    ("lower", "\u039f\u0394\u03a5\u03a3", "\u03bf\u03b4\u03c5\u03c3"),
    ("upper", "\u0432\u043e\u0439\u043d\u0430", "\u0412\u041e\u0419\u041d\u0410"),
    ("upper", "", ""),
    ("upper", "a'b\\c%{}", "A'B\\C%{}"),
]
CHARACTERS = "".join(map(chr, [*range(1, 0x3000), *range(0xA000, 0xAC00), *range(0xF900, 0x11000)]))
FIRST_NEWER = "\u0180"
"""Letters from here on may have got their partner after Unicode 3.2; such a letter stays as it is."""


@pytest.fixture(params=LOCALES)
def database(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a database of one locale."""
    name = sql.Identifier(f"test_{uuid.uuid4().hex}")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        statement = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' " + LOCALES[request.param]
        try:
            server.execute(sql.SQL(statement).format(name))
        except (psycopg.NotSupportedError, psycopg.DataError, psycopg.ProgrammingError) as error:
            pytest.skip(f"the server cannot make a database of the locale {request.param}: {error}")
        with psycopg.connect(beside(postgres_url, name.as_string().strip('"')), autocommit=True) as connection:
            yield connection
        server.execute(sql.SQL("DROP DATABASE {}").format(name))


def change(connection: psycopg.Connection, function: str, text: str) -> str:
    (changed,) = connection.execute(
        f"SELECT {mapped(function, 't.x')} FROM (SELECT %(text)s::text) t(x)".encode(), {"text": text}
    ).fetchone() or ("",)
    return str(changed)


def test_letters_do_not_depend_on_the_locale(database: psycopg.Connection) -> None:
    for function, text, expected in WORDS:
        assert change(database, function, text) == expected
    for function in ("upper", "lower"):
        changed = change(database, function, CHARACTERS)
        for old, new in zip(CHARACTERS, changed, strict=True):
            wanted = getattr(old, function)()
            may_stay = len(wanted) > 1 or old >= FIRST_NEWER
            assert new == wanted or (may_stay and new == old), (function, old)
