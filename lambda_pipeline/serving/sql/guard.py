"""Accepts one read-only SELECT over known views, and refuses everything else.

Text written by people is checked here before it is sent; what runs is their text, not another rendering of it. The
statement is split as the server splits it (`tokens`), its tokens are checked, and a copy with all comments blanked
and all literals filled with the same letter goes to sqlglot, whose tree shows which views are read where. A copy
without literals cannot be misread by a parser that treats quotes differently from the server.

The guard is one of three fences: run the result in a read-only transaction, with an empty `search_path`,
and where there is one, as a role that may only read the batch views.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlglot import exp

from lambda_pipeline.errors import BadRequestError, suggest
from lambda_pipeline.serving.sql.functions import CALLABLE, SESSION_WORDS, is_refused_name
from lambda_pipeline.serving.sql.parse import bounded, parse
from lambda_pipeline.serving.sql.tokens import Token, TokenType, at, tokens

MAX_CHARACTERS = 100_000

_STARTS = ("select", "with", "values")
_WRITES = ("insert", "update", "delete", "merge", "truncate", "create", "alter", "drop")
_REFUSED_NODES = (
    exp.DDL, exp.DML, exp.Command, exp.Copy, exp.Set, exp.Into, exp.Lock, exp.Drop, exp.Alter, exp.Merge, exp.Delete,
    exp.Update, exp.Insert, exp.Transaction, exp.Commit, exp.Rollback, exp.Use, exp.Pragma, exp.Describe,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GuardedSelect:
    """A SELECT that may run.

    Attributes:
        text: the statement as written, without a semicolon at its end; `:name` became `%(name)s` and every other `%` is
            doubled, so it is always executed with a mapping. It may end in a line comment: put a line break after it.
        views_used: the views it reads, in order of appearance; they are not qualified in the text.
        parameters: names of its placeholders, each once, in order of appearance; none begins with an underscore.
    """

    text: str
    views_used: tuple[str, ...]
    parameters: tuple[str, ...]


def guard(statement: str, relations: Collection[str]) -> GuardedSelect:
    """Check a statement.

    Allowed: one SELECT or VALUES, with anything inside that reads the given relations: joins, subqueries, `WITH`
    (recursive as well), set operations, windows, `LATERAL`, calls of the functions in `functions`. Column lists of
    an alias need `AS`: `FROM unnest(x) AS t(a)`. `:name` is a parameter wherever a name follows the colon, also
    in an array slice: write `[1 : n]` for a column `n`.

    Args:
        statement: SQL of PostgreSQL.
        relations: names of the views that may be read.

    Raises:
        BadRequestError: anything else; with line and column where one place is to blame.
    """
    if len(statement) > MAX_CHARACTERS:
        raise BadRequestError(f"SQL: longer than {MAX_CHARACTERS:,} characters")
    words, end = _without_semicolon(statement, tokens(statement))
    text = statement[:end]
    _check_start(text, words)
    needed = bounded(text, words)
    for index, token in enumerate(words):
        _check_token(text, words, index, token)
    tree = parse(text, needed)
    _check_nodes(tree)
    _check_calls(text, words, tree)
    used = _find_views(tree, relations)
    return GuardedSelect(_executable(text, words), used, _parameters(words))


def _without_semicolon(statement: str, words: tuple[Token, ...]) -> tuple[tuple[Token, ...], int]:
    end = len(statement)
    while words and words[-1].is_symbol(";"):
        end = words[-1].start
        words = words[:-1]
    for token in words:
        if token.is_symbol(";"):
            raise at(statement, token.start, "several statements", "ask them one by one")
    if not words:
        raise BadRequestError("SQL: there is no statement")
    return words, end


def _check_start(statement: str, words: Sequence[Token]) -> None:
    first = next((token for token in words if not token.is_symbol("(")), words[-1])
    if not first.is_word(*_STARTS):
        meant = suggest(first.value, _STARTS) if first.type is TokenType.NAME else ""
        hint = f"did you mean {meant.upper()}?" if meant else "begin with SELECT, WITH or VALUES"
        raise at(statement, first.start, "only a SELECT may run here", hint)


def _check_token(statement: str, words: Sequence[Token], index: int, token: Token) -> None:
    if token.type is TokenType.PLACEHOLDER and token.value.startswith("_"):
        raise at(statement, token.start, "a parameter's name begins with an underscore", "begin it with a letter")
    if token.type in {TokenType.NAME, TokenType.QUOTED_NAME}:
        _check_name(statement, words, index, token)


def _check_name(statement: str, words: Sequence[Token], index: int, token: Token) -> None:
    before = words[index - 1] if index else None
    after = words[index + 1] if index + 1 < len(words) else None
    if is_refused_name(token.value):
        raise at(statement, token.start, f"{token.value} may not be used", "only views and plain functions may be")
    if token.is_word("into"):
        raise at(statement, token.start, "SELECT INTO writes a table", "results are written by the caller")
    if token.is_word("table"):
        raise at(statement, token.start, "TABLE is not read here", "write SELECT * FROM")
    if token.is_word("operator") and after is not None and after.is_symbol("("):
        raise at(statement, token.start, "OPERATOR() is not read here", "write the operator itself")
    if token.is_word(*_WRITES) and (before is None or before.is_symbol("(") or before.is_symbol(")")):
        raise at(statement, token.start, f"{token.value.upper()} writes", "only reading is possible here")
    if token.is_word("for") and after is not None and after.is_word("update", "share", "no", "key"):
        raise at(statement, token.start, "FOR UPDATE and FOR SHARE lock rows", "leave it out")
    if before is not None and before.is_symbol("."):
        _check_qualified(statement, words, index, token)
    elif token.is_word(*SESSION_WORDS) and not (before is not None and before.is_word("as")):
        raise at(statement, token.start, f"{token.value} may not be used", "put a column of that name into quotes")


def _check_qualified(statement: str, words: Sequence[Token], index: int, token: Token) -> None:
    qualifier = words[index - 2] if index >= 2 else None
    if qualifier is None or qualifier.type not in {TokenType.NAME, TokenType.QUOTED_NAME}:
        raise at(
            statement, token.start, f".{token.value} is applied to an expression",
            "PostgreSQL would call a function of that name; name a column of a relation",
        )  # fmt: skip
    if index + 1 < len(words) and words[index + 1].is_symbol("("):
        raise at(statement, qualifier.start, "a function with a schema", "functions are written without one")
    if index >= 3 and words[index - 3].is_symbol("."):
        raise at(statement, qualifier.start, "a name with a schema", "views are named without one")
    if index >= 3 and (words[index - 3].is_symbol("::") or words[index - 3].is_word("as")):
        raise at(statement, qualifier.start, "a type with a schema", "types are written without one")


def _check_nodes(tree: exp.Expr) -> None:
    if not isinstance(tree, exp.Query | exp.Values):
        raise BadRequestError("SQL: only a SELECT may run here", hint="begin with SELECT, WITH or VALUES")
    for node in tree.walk():
        if isinstance(node, _REFUSED_NODES) and not isinstance(node, exp.Query):
            raise BadRequestError(f"SQL: {node.key.upper()} may not be used", hint="only reading is possible here")


def _check_calls(statement: str, words: Sequence[Token], tree: exp.Expr) -> None:
    """Every name before a parenthesis is a known function, a key word, a type, or named with its columns.

    A name with a column list follows AS, where no call can be, or is that of a WITH query. The latter are counted in
    the tree: one more occurrence than queries of that name is a call.
    """
    left = Counter(
        cte.alias for cte in tree.find_all(exp.CTE) if isinstance(cte.args.get("alias"), exp.TableAlias) and
        cte.args["alias"].columns
    )  # fmt: skip
    for before, token, after in zip([None, *words], words, words[1:], strict=False):
        if not after.is_symbol("(") or token.type not in {TokenType.NAME, TokenType.QUOTED_NAME}:
            continue
        if token.type is TokenType.NAME and token.value in CALLABLE:
            continue
        if before is not None and before.is_word("as"):
            continue
        left[token.value] -= 1
        if left[token.value] < 0:
            close = suggest(token.value, CALLABLE)
            hint = f"did you mean {close}?" if close else "column lists of an alias need AS"
            raise at(statement, token.start, f"function {token.value} may not be called", hint)


def _find_views(tree: exp.Expr, relations: Collection[str]) -> tuple[str, ...]:
    for cte in tree.find_all(exp.CTE):
        if cte.alias in relations:
            raise BadRequestError(f"SQL: a WITH query is called {cte.alias} like a view", hint="give it another name")
    used: dict[str, None] = {}
    try:
        _visit(tree, frozenset(), relations, used)
    except RecursionError:
        raise BadRequestError("SQL: nested too deeply") from None
    return tuple(used)


def _visit(node: exp.Expr, visible: frozenset[str], relations: Collection[str], used: dict[str, None]) -> None:
    """Resolve every table below `node`, with the WITH queries that are visible there as the server sees them."""
    with_ = next((value for value in node.args.values() if isinstance(value, exp.With)), None)
    if with_ is not None:
        if with_.recursive:
            visible |= {cte.alias for cte in with_.expressions}
        for cte in with_.expressions:
            _visit(cte, visible, relations, used)
            visible |= {cte.alias}
    if isinstance(node, exp.Table):
        _resolve(node, visible, relations, used)
    for child in node.iter_expressions():
        if child is not with_:
            _visit(child, visible, relations, used)


def _resolve(table: exp.Table, visible: frozenset[str], relations: Collection[str], used: dict[str, None]) -> None:
    if table.args.get("db") or table.args.get("catalog"):
        raise BadRequestError(f"SQL: {table.name} is named with a schema", hint="views are named without one")
    if not isinstance(table.this, exp.Identifier):
        return
    name = table.name
    if name in visible:
        return
    if name not in relations:
        close = suggest(name, [*relations, *visible])
        hint = f"did you mean {close}?" if close else f"views: {', '.join(sorted(relations))}"
        raise BadRequestError(f"SQL: there is no view {name}", hint=hint)
    used[name] = None


def _executable(statement: str, words: Sequence[Token]) -> str:
    parts: list[str] = []
    position = 0
    for token in words:
        if token.type is TokenType.PLACEHOLDER:
            parts += [statement[position : token.start].replace("%", "%%"), f"%({token.value})s"]
            position = token.end
    parts.append(statement[position:].replace("%", "%%"))
    return "".join(parts)


def _parameters(words: Sequence[Token]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token.value for token in words if token.type is TokenType.PLACEHOLDER))
