"""Edits of a source file by symbol: they survive reformatting, comments, and moves within the file.

The symbol is normalised by `ast.unparse`, a constant is taken as its value, and white space does not count. Code is
written as `ast.unparse` writes it: single quotes, a generator in a call within its own parentheses.
"""

import ast
import re
import textwrap


def edited(source: str, symbol: str, code: str, instead: str) -> str:
    """The source with some code of one symbol replaced.

    Args:
        source: of a Python file; of any other file if `symbol` is empty.
        symbol: `function`, `Class.method` or `CONSTANT` (a string).
        code: must stand in the symbol exactly once.
        instead: replaces it.

    Raises:
        ValueError: there is no such symbol, or not that code.
    """
    if not symbol:
        return _replaced(source, code, instead)
    node = _find(ast.parse(source), symbol.split("."))
    lines = source.splitlines(keepends=True)
    first = min(each.lineno for each in (node, *getattr(node, "decorator_list", ())))
    if isinstance(node, ast.Assign):
        assert isinstance(node.value, ast.Constant)
        text = f"{ast.unparse(node.targets[0])} = {_replaced(str(node.value.value), code, instead)!r}"
    else:
        text = _replaced(ast.unparse(node), code, instead)
    assert node.end_lineno is not None
    indented = textwrap.indent(text, " " * node.col_offset)
    return "".join([*lines[: first - 1], indented, "\n", *lines[node.end_lineno :]])


def _find(tree: ast.AST, path: list[str]) -> ast.stmt:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Assign) and path == [ast.unparse(node.targets[0])]:
            if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
                raise ValueError("the constant is not a string")
            return node
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == path[0]:
            return _find(node, path[1:]) if path[1:] else node
    raise ValueError(f"there is no {'.'.join(path)}")


def _replaced(text: str, code: str, instead: str) -> str:
    pattern = r"\s+".join(map(re.escape, code.split()))
    found, count = re.subn(pattern, lambda _: instead, text)
    if count != 1:
        raise ValueError(f"its code stands there {count} times: {code}")
    return found
