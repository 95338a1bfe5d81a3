"""Modules of torch from a function: torch has no static types here, and so no base classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import nn
else:
    nn = pytest.importorskip("torch").nn


def module(name: str, forward: Callable[..., Any], **parts: Any) -> Any:
    """A module in evaluation, with these parts as attributes. Torch tells lines of functions that
    are called `forward`."""
    made = type(name, (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made.eval()
