"""Which passes run, in which order. This file is the whole story.

    inline-checkpoints  what the gradient computed again, and what it did not, in one
    integer-products  products of quantised operands by constants, in integers
    canonicalize      one form for what can be written in several ways
    constant-fold     what depends on constants only
    prune-loops       loops and branches without what nobody needs
    hoist             what is the same in all steps of a loop, and products of its inputs, before it
    sink              what steps only add up, and products of what they only give, after it
    fold-norm         batch norms into convolutions
    attention         a softmax between two products in blocks
    decompose         norms, softmax, attention written out
    layout            convolutions channels-last, where that pays for the transposes
    conv-gradients    transposed convolutions are convolutions
    conv-to-gemm      pointwise convolutions are matrix products
    join-products     products of one left factor, where that pays
    precision         f32 products by constants in bf16, if that is allowed
    winograd          3×3 convolutions by fewer multiplications
    strassen          products by large constants by fewer multiplications, if that is allowed
    pack-invariants   weights of loops in panels
    orient            products transposed where that copies less
    pack-constants    weights in panels
    narrow-factors    factors as a card multiplies them, where rounding them is allowed
    fuse              groups that become kernels

Not of the pipeline, as it gives another function:

    autodiff          the gradients of a function
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from .. import plugins
from ..errors import InputError, check
from ..ir import Function
from ..plugins import plug_in, plug_ins
from ..target import Target
from ..text import nearest
from .algorithms.attention import attention
from .algorithms.conv_gradients import conv_gradients
from .algorithms.conv_to_gemm import conv_to_gemm
from .algorithms.join_products import join_products
from .algorithms.strassen import strassen as strassen_pass
from .algorithms.winograd import winograd
from .autodiff import autodiff
from .decompose import decompose
from .fusion.fuse import fuse
from .inline_checkpoints import inline_checkpoints
from .layouts.layout import layout
from .layouts.orient import orient
from .layouts.pack_constants import pack_constants
from .layouts.pack_invariants import pack_invariants
from .loops.hoist import hoist
from .loops.prune_loops import prune_loops
from .loops.sink import sink
from .narrowing.integer_products import integer_products
from .narrowing.narrow_factors import narrow_factors
from .narrowing.precision import precision as precision_pass
from .regions import in_regions
from .simplify.canonicalize import canonicalize
from .simplify.constant_fold import constant_fold
from .simplify.fold_norm import fold_norm

GraphPass = Callable[..., Function]  # (function, *, options) -> function

PASSES: Mapping[str, GraphPass] = MappingProxyType(
    {
        "attention": attention,
        "autodiff": autodiff,
        "canonicalize": canonicalize,
        "constant-fold": constant_fold,
        "conv-gradients": conv_gradients,
        "conv-to-gemm": conv_to_gemm,
        "decompose": decompose,
        "fold-norm": fold_norm,
        "fuse": fuse,
        "hoist": hoist,
        "inline-checkpoints": inline_checkpoints,
        "integer-products": integer_products,
        "join-products": join_products,
        "layout": layout,
        "narrow-factors": narrow_factors,
        "orient": orient,
        "pack-constants": pack_constants,
        "pack-invariants": pack_invariants,
        "precision": precision_pass,
        "prune-loops": prune_loops,
        "sink": sink,
        "strassen": strassen_pass,
        "winograd": winograd,
    }
)


# A pass that changes what a function computes, and one for which loops make a difference: they see
# to its regions themselves.
_WHOLE = frozenset({"autodiff", "strassen"})


def pass_named(name: str) -> GraphPass:
    """A pass of the table, or else one that another package adds; `InputError` for neither."""
    if name in PASSES:
        return PASSES[name]
    found = plug_in(plugins.PASSES, name)
    if found is None:
        known = (*PASSES, *(each.name for each in plug_ins(plugins.PASSES)))
        raise InputError(
            f"there is no pass '{name}'; there are {', '.join(known)}{nearest(name, known)}"
        )
    return found.load()


@dataclass(frozen=True)
class Step:
    """A pass of the table, or of another package, with its options."""

    name: str
    options: Mapping[str, object] = field(default_factory=dict)

    def run(self, fn: Function) -> Function:
        """The function after the pass, which has done its work in loops and branches too."""
        function = pass_named(self.name)
        if self.name in _WHOLE:
            return function(fn, **self.options)
        return in_regions(fn, lambda part: function(part, **self.options))

    def __str__(self) -> str:
        """As `parse_pipeline` reads it, which supplies the target."""
        options = ",".join(f"{key}={self.options[key]}" for key in self.options if key != "target")
        return f"{self.name}{{{options}}}" if options else self.name


def cpu_pipeline(
    target: Target,
    *,
    winograd: str | int = "auto",
    strassen: str = "off",
    precision: str = "f32",
) -> tuple[Step, ...]:
    """From any function of static sizes to groups ready for `lower`."""
    narrow = Step("precision", {"target": target, "choice": precision, "winograd": winograd})
    return (
        *preparing_steps(target),
        Step("join-products", {"target": target, "precision": precision}),
        *((narrow,) if precision != "f32" else ()),
        Step("winograd", {"target": target, "choice": winograd}),
        Step("strassen", {"target": target, "choice": strassen}),
        Step("pack-invariants", {"target": target}),
        Step("orient", {"target": target}),
        Step("constant-fold"),
        Step("pack-constants", {"target": target}),
        *_TIDY,
        Step("fuse", {"target": target}),
    )


def cuda_pipeline(target: Target, *, winograd: str | int = "auto") -> tuple[Step, ...]:
    """As `cpu_pipeline`, for a graphics card."""
    return (
        Step("inline-checkpoints"),
        *_TIDY,
        Step("prune-loops"),
        Step("hoist"),
        Step("sink"),
        Step("fold-norm"),
        Step("attention", {"target": target}),
        Step("decompose"),
        *_TIDY,
        Step("layout", {"target": target}),
        *_TIDY,
        Step("conv-gradients", {"target": target}),
        *_TIDY,
        Step("conv-to-gemm"),
        Step("winograd", {"target": target, "choice": winograd}),
        Step("constant-fold"),
        Step("pack-constants", {"target": target}),
        *_TIDY,
        Step("narrow-factors", {"target": target}),
        Step("fuse", {"target": target}),
    )


def preparing_steps(target: Target) -> tuple[Step, ...]:
    """The pipeline up to where it begins to choose by the cost model."""
    return (
        Step("inline-checkpoints"),
        Step("integer-products", {"target": target}),
        *_TIDY,
        Step("prune-loops"),
        Step("hoist"),
        Step("sink"),
        Step("fold-norm"),
        Step("attention", {"target": target}),
        Step("decompose"),
        *_TIDY,
        Step("layout", {"target": target}),
        *_TIDY,
        Step("conv-gradients", {"target": target}),
        *_TIDY,
        Step("conv-to-gemm"),
    )


_TIDY = (Step("canonicalize"), Step("constant-fold"))


def parse_pipeline(text: str, target: Target) -> tuple[Step, ...]:
    """The steps of `a,b{x=1,y=auto},c`; passes that want a target get this one. `cpu` stands for
    the whole pipeline."""
    steps: list[Step] = []
    for name, options in _split(text):
        if name == "cpu":
            check(not options, "the pipeline 'cpu' has no options", InputError)
            steps += cpu_pipeline(target)
            continue
        parameters = _parameters(pass_named(name))
        if "target" in parameters:
            options = {"target": target, **options}
        unknown = set(options) - set(parameters)
        check(not unknown, f"'{name}' has no option {', '.join(sorted(unknown))}", InputError)
        steps.append(Step(name, options))
    return tuple(steps)


def _parameters(function: GraphPass) -> Sequence[str]:
    return tuple(inspect.signature(function).parameters)[1:]


def _split(text: str) -> list[tuple[str, dict[str, object]]]:
    found: list[tuple[str, dict[str, object]]] = []
    pattern = re.compile(r"\s*([\w.-]+)\s*(?:\{([^{}]*)\})?\s*(?:,|$)")
    place = 0
    while place < len(text):
        match = pattern.match(text, place)
        check(match, f"'{text[place:]}' is no pass of a pipeline such as a,b{{x=1}},c", InputError)
        assert match is not None
        options: dict[str, object] = {}
        for entry in filter(None, (match[2] or "").replace(" ", "").split(",")):
            key, mark, value = entry.partition("=")
            check(mark, f"the option '{entry}' has no value", InputError)
            options[key] = int(value) if re.fullmatch(r"-?\d+", value) else value
        found.append((match[1], options))
        place = match.end()
    return found
