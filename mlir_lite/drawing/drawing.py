"""`draw`: the picture of a function or of what was compiled, in a notebook or as a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..backends.base import Stages
from ..driver import Executable
from ..dsl.nn.module import Module
from ..errors import InputError, check
from ..ir import Function
from ..train.step import Step
from . import FORMS
from .forms import picture_text
from .plan import plan_svg

_SUFFIXES = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid"}
_STAGES = ("graph", "fused", "plan")


@dataclass(frozen=True, repr=False)
class Drawing:
    """A picture. `drawing["svg"]`, `["dot"]` and `["mermaid"]` are its texts; a notebook shows it,
    and says more of each box where the mouse is."""

    name: str
    texts: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<Drawing of {self.name}: {', '.join(self.texts)}>"

    def __getitem__(self, form: str) -> str:
        """The text in one of its forms; `InputError` for one that it does not have."""
        have = ", ".join(self.texts)
        check(form in self.texts, f"no form '{form}' of {self.name}; it has {have}", InputError)
        return self.texts[form]

    def save(self, file: str | Path) -> None:
        """Write the form that the suffix says: .svg, .dot, .gv, .mmd or .mermaid."""
        suffix = Path(file).suffix.lower()
        known = ", ".join(_SUFFIXES)
        check(suffix in _SUFFIXES, f"'{file}': a picture's suffix is {known}", InputError)
        Path(file).write_text(self[_SUFFIXES[suffix]], encoding="utf-8")

    def _repr_html_(self) -> str:
        return f'<div style="overflow:auto;max-height:48em">{self.texts["svg"]}</div>'


def draw(
    what: Function | Executable | Step, stage: str = "", *, open_groups: bool | None = None
) -> Drawing:
    """The picture of a function, of a step of training, or of a stage of an executable: `"graph"`,
    the function as it was written; `"fused"`, after the passes, if nothing is said; `"plan"`, the
    memory plan.

    Groups show what is inside of them where `open_groups` says so, by default in all but large
    functions. `InputError` for what is neither, and for a stage there is not.
    """
    if isinstance(what, Step):
        what = what.function
    if isinstance(what, Function):
        check(not stage, "only what ml.compile gave has stages to draw", InputError)
        return _of_function(what, open_groups)
    if not isinstance(what, Executable):
        advice = "; write ml.draw(ml.function(module, …))" if isinstance(what, Module) else ""
        kind = type(what).__name__
        raise InputError(f"ml.draw takes a function or what ml.compile gave, not {kind}{advice}")
    stage = stage or "fused"
    known = ", ".join(_STAGES)
    check(stage in _STAGES, f"no stage '{stage}' to draw; there are {known}", InputError)
    if stage == "graph":
        return _of_function(what.function, open_groups)
    name = f"@{what.function.name} {stage}"
    if stage == "plan":
        return Drawing(name, Stages({"svg": lambda: plan_svg(what.program)}))
    texts = what.stages
    return Drawing(name, Stages({form: partial(texts.__getitem__, form) for form in FORMS}))


def _of_function(fn: Function, open_groups: bool | None) -> Drawing:
    makers = {form: partial(picture_text, fn, form, open_groups=open_groups) for form in FORMS}
    return Drawing(f"@{fn.name}", Stages(makers))
