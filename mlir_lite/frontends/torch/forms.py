"""What a module gives: its own lists, dictionaries and classes, around the results of a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils import _pytree as pytree

from ...ir import Value
from ...types import Array

_RESULT = object()  # stands where a result of the function belongs


@dataclass(frozen=True)
class Form:
    """One of torch's trees, with the leaves that are the same at every call, as numbers are."""

    tree: Any  # a torch.utils._pytree.TreeSpec
    leaves: Sequence[Any]

    @staticmethod
    def of(tree: Any, given: Sequence[Any]) -> Form | None:
        """The form of a module that gives these values and other things; None for one value."""
        if tree.is_leaf():
            return None
        return Form(tree, [_RESULT if isinstance(leaf, Value) else leaf for leaf in given])

    def __call__(self, results: Sequence[Array]) -> object:
        """The results in this form."""
        rest = iter(results)
        leaves = [next(rest) if leaf is _RESULT else leaf for leaf in self.leaves]
        return pytree.tree_unflatten(leaves, self.tree)
