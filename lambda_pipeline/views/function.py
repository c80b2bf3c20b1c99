"""What a FHIRPath function is: an entry of the tables of functions, and what it may ask of the analysis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lambda_pipeline.views import fhir_types, fhirpath, typed_tree

NONE, ONE, TWO = range(1), range(1, 2), range(2, 3)
OPTIONAL, ONE_OR_TWO, TWO_OR_THREE = range(2), range(1, 3), range(2, 4)
"""How many arguments a function takes."""


class Typing(Protocol):
    """The part of `Analysis` that functions use; `analysis` documents the errors."""

    version: fhir_types.FhirVersion
    resource: typed_tree.Focus

    def node(self, expression: fhirpath.Expression, focus: typed_tree.Node) -> typed_tree.Node:
        """The typed tree of an argument."""

    def boolean(self, expression: fhirpath.Expression, focus: typed_tree.Node) -> typed_tree.Node:
        """The typed tree of an argument that must be boolean."""

    def member(self, target: typed_tree.Node, name: str, position: int) -> typed_tree.Node:
        """One step of navigation."""

    def new_item(self, target: typed_tree.Node) -> typed_tree.Focus:
        """A new focus for the elements of a collection, which criteria test."""


Build = Callable[[Typing, typed_tree.Node, fhirpath.Call, typed_tree.Node], typed_tree.Node]


@dataclass(frozen=True, slots=True)
class Function:
    """One row of the table.

    Attributes:
        arguments: how many arguments it may have.
        accepts: the input and arguments it takes, in words.
        build: writes its node of the typed tree, or raises FhirPathError.
        takes_empty: whether `build` is called for `{}` too, whose result is else `{}`.
    """

    arguments: range
    accepts: str
    build: Build
    takes_empty: bool = False
