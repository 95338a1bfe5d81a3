"""What a compilation is asked for: the options, and the backend that a target's name means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .backends import base
from .backends.llvm.backend import CpuBackend, cpu_target
from .environment import Verify
from .errors import InputError, check
from .target import named_target, nearest_card
from .tuning import Chooser, Tuning

if TYPE_CHECKING:  # to load them would be to load every pass
    from .passes.manager import Observer
    from .passes.pipelines import Step


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
        return unseen and isinstance(self.tuning, Tuning)

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
    if target == "reference":
        from .backends.reference import ReferenceBackend  # lazy: what the others never need

        return ReferenceBackend(replace(cpu_target("cpu:avx512", 1)[0], tuning=tuning))
    if target.partition(":")[0] == "cuda":
        from .backends.cuda.backend import CudaBackend  # lazy: what a CPU never needs
        from .backends.cuda.card.here import found_card

        card = named_target(nearest_card(found_card().capability) if target == "cuda" else target)
        assert card is not None and card.gpu is not None
        gpu = replace(card.gpu, factors=precision)
        return CudaBackend(replace(card, tuning=tuning, gpu=gpu))
    figures, machine = cpu_target(target)
    if isinstance(tuning, Tuning) and tuning.choices:
        check(
            tuning.machine == machine.cpu,
            f"the tuning record is of the machine '{tuning.machine}', the target '{target}' is "
            f"'{machine.cpu}': make one for it with `mlir-lite tune`",
            InputError,
        )
    return CpuBackend(replace(figures, tuning=tuning), machine)
