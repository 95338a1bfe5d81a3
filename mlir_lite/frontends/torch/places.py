"""Where in the user's model an operator of a trace was written."""

from __future__ import annotations

import os
import re
from typing import Any

import torch

from ...location import UNKNOWN, Location, is_inside

_FRAME = re.compile(r'^\s*File "(.+)", line (\d+), in ', re.MULTILINE)
# What torch.compile calls the module that it compiles, in front of the path of one within.
_ROOT = re.compile(r"^L\['\w+'\]\.?")
_TORCH = os.path.join(os.path.dirname(os.path.abspath(torch.__file__)), "")


def place_of(node: Any) -> Location:  # of a torch.fx.Node
    """The innermost line outside of torch; of an operator without one the module that it is in."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    for file, line in reversed(frames):
        # Passes of torch's own write paths that begin with the package.
        if not (is_inside(file) or file.startswith((_TORCH, "torch" + os.sep, "<"))):
            return Location(file, int(line))
    stack = (node.meta.get("nn_module_stack") or {}).values()
    modules = [path for path in (_ROOT.sub("", path) for path, _ in stack) if path]
    return Location("<torch>", 0, modules[-1]) if modules else UNKNOWN
