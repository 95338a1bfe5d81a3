"""What a compilation is asked for: the options, and the backend that a target's name means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import plugins
from .backends import base
from .backends.llvm.backend import CpuBackend, cpu_target
from .environment import Verify
from .errors import InputError, UnsupportedError, check
from .plugins import plug_in, plug_ins
from .target import named_target, nearest_card
from .tuning import Chooser, Tuning

if TYPE_CHECKING:  # to load them would be to load every pass
    from .passes.manager import Observer
    from .passes.pipelines import Step


OWN_KINDS = ("cpu", "cuda", "reference")  # what stands before the colon of a target's name


@dataclass(frozen=True)
class Options:
    """What changes how a function is compiled."""

    verify: Verify = "structure"
    winograd: str | int = "auto"
    strassen: str = "off"
    precision: str = "f32"
    passes: tuple[Step, ...] | None = None  # instead of the target's own pipeline
    observe: Observer | None = None  # sees every pass's record and the function after it
    dump: Path | None = None  # a folder for the IR after each pass
    tuning: Chooser = Tuning()  # answers that come before those of the cost model

    @property
    def is_silent(self) -> bool:
        """Whether nobody watches the passes, so that they need not run if their result is known."""
        unseen = self.observe is None and self.dump is None and self.verify != "each-pass"
        return unseen and isinstance(self.tuning, Tuning) and not self._plugged

    @property
    def _plugged(self) -> bool:
        """Whether there are passes of other packages, of which nothing is known but the name."""
        if self.passes is None:
            return False
        from .passes.pipelines import PASSES  # lazy: whoever names steps has loaded it

        return any(step.name not in PASSES for step in self.passes)

    @property
    def deciding(self) -> tuple[object, ...]:
        """What of this, beside the target's figures, decides the result."""
        steps = None if self.passes is None else tuple(map(str, self.passes))
        return self.winograd, self.strassen, self.precision, steps


def backend_of(
    target: str, tuning: Chooser = Options.tuning, precision: str = Options.precision
) -> base.Backend:
    """The backend that a target's name asks for, with measured choices among its figures, and on a
    card with what the factors of f32 products are rounded to.

    `InputError` for choices that were measured on another machine.
    """
    kind = target.partition(":")[0]
    if target == "reference":
        from .backends.reference import ReferenceBackend  # lazy: what the others never need

        return ReferenceBackend(replace(cpu_target("cpu:avx512", 1)[0], tuning=tuning))
    if kind == "cuda":
        from .backends.cuda.backend import CudaBackend  # lazy: what a CPU never needs
        from .backends.cuda.card.here import found_card

        card = named_target(nearest_card(found_card().capability) if target == "cuda" else target)
        assert card is not None and card.gpu is not None
        gpu = replace(card.gpu, factors=precision)
        return CudaBackend(replace(card, tuning=tuning, gpu=gpu))
    if kind != "cpu":
        return _plugged_in(target, kind)
    figures, machine = cpu_target(target)
    if isinstance(tuning, Tuning) and tuning.choices:
        check(
            tuning.machine == machine.cpu,
            f"the tuning record is of the machine '{tuning.machine}', the target '{target}' is "
            f"'{machine.cpu}': make one for it with `mlir-lite tune`",
            InputError,
        )
    return CpuBackend(replace(figures, tuning=tuning), machine)


def _plugged_in(target: str, kind: str) -> base.Backend:
    """The backend of another package; `UnsupportedError` where there is none of this name."""
    found = plug_in(plugins.BACKENDS, kind)
    if found is None:
        names = (*OWN_KINDS, *(each.name for each in plug_ins(plugins.BACKENDS)))
        known = ", ".join(f"'{name}'" for name in names)
        raise UnsupportedError(
            f"no backend for the target '{target}'; there are {known}"
        )
    made: base.Backend = found.load()(target)
    what = f"the backend '{kind}' of the package '{found.package}'"
    lacks = [name for name in ("target", "compile", "stage_texts") if not hasattr(made, name)]
    check(not lacks, f"{what} has no {', '.join(lacks)}", InputError)
    return made
