"""Puts one seeded mistake into a copy of the package.

A mistake names a symbol of the product, what stands in it, and what shall stand there. Code is compared as a syntax
tree, and text (SQL, Lua) without regard to white space: neither reformatting nor a move within the file breaks it.
"""

import ast
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "lambda_pipeline"


class SeedingError(Exception):
    """The product does not have the place that a mistake changes."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake.

    Attributes:
        name: what is wrong.
        symbol: where: `module:function`, `module:Class.method` or `module:CONSTANT`, below `lambda_pipeline`;
            for a file that is not Python, its path.
        correct: what stands there, exactly once: an expression or a statement; in a text, a part of it.
        mistake: what replaces it.
        kinds: of histories that are likely to show it, tried first.
    """

    name: str
    symbol: str
    correct: str
    mistake: str
    kinds: tuple[str, ...] = ("plain",)

    @property
    def file(self) -> Path:
        """The file with the symbol, relative to the package."""
        module, colon, _ = self.symbol.partition(":")
        return Path(*module.split(".")).with_suffix(".py") if colon else Path(module)

    def apply(self, source: str) -> str:
        """The text of `file` with the mistake.

        Raises:
            SeedingError: there is no such symbol, or it does not have `correct` exactly once.
        """
        _, colon, path = self.symbol.partition(":")
        if not colon:
            return self._in_text(source)
        module = ast.parse(source)
        symbol = self._find(module, path.split("."))
        if isinstance(symbol, ast.Assign | ast.AnnAssign):
            value = symbol.value
            if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
                raise SeedingError(f"{self.name}: {self.symbol} is not a text")
            value.value = self._in_text(value.value)
        else:
            replacement = _Replacement(ast.parse(self.correct).body, ast.parse(self.mistake).body)
            replacement.visit(symbol)
            self._require_one(replacement.count)
        return ast.unparse(ast.fix_missing_locations(module)) + "\n"

    def _find(self, module: ast.Module, path: list[str]) -> ast.stmt:
        node: Any = module
        for name in path:
            found = [statement for statement in node.body if name in _names(statement)]
            if len(found) != 1:
                raise SeedingError(
                    f"{self.name}: {self.file} has {self.symbol} {len(found)} times; name the symbol that does this now"
                )
            (node,) = found
        assert isinstance(node, ast.stmt)
        return node

    def _in_text(self, text: str) -> str:
        pattern = r"\s+".join(map(re.escape, self.correct.split()))
        changed, count = re.subn(pattern, lambda _: self.mistake, text)
        self._require_one(count)
        return changed

    def _require_one(self, count: int) -> None:
        if count != 1:
            raise SeedingError(
                f"{self.name}: {self.symbol} has `{self.correct}` {count} times; write what it says now, unambiguously"
            )


class _Replacement(ast.NodeTransformer):
    """Replaces an expression or a statement that equals `correct`, and counts how often."""

    def __init__(self, correct: list[ast.stmt], mistake: list[ast.stmt]) -> None:
        (wanted,) = correct
        self.wanted: ast.AST = wanted
        self.mistake: ast.AST | list[ast.stmt] = mistake
        if isinstance(wanted, ast.Expr):
            (wrong,) = mistake
            assert isinstance(wrong, ast.Expr)
            self.wanted, self.mistake = wanted.value, wrong.value
        self.shape = ast.dump(self.wanted)
        self.count = 0

    def visit(self, node: ast.AST) -> Any:
        if type(node) is type(self.wanted) and ast.dump(node) == self.shape:
            self.count += 1
            return self.mistake
        return self.generic_visit(node)


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


@contextmanager
def seeded(mutant: Mutant, folder: Path) -> Iterator[Path]:
    """A folder from which Python imports the project with this mistake."""
    changed = mutant.apply((PACKAGE / mutant.file).read_text(encoding="utf-8"))
    root = folder / "mutated"
    shutil.copytree(PACKAGE, root / "lambda_pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("lambda_pipeline_tests", "sql", "dagster.yaml"):
        (root / name).symlink_to(PROJECT / name)
    (root / "lambda_pipeline" / mutant.file).write_text(changed, encoding="utf-8")
    yield root
    shutil.rmtree(root)
