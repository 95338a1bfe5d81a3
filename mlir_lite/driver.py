"""The driver: from a function to an executable.

A function with named sizes gives an executable that compiles on the first call for the sizes it
meets, and keeps what it compiled.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, overload

from . import warm
from .backends import base
from .backends.cuda.backend import CudaBackend
from .backends.cuda.given import stand_in
from .backends.cuda.here import found_card
from .backends.llvm.backend import CpuBackend, cpu_target
from .backends.reference import ReferenceBackend
from .dsl import named_arrays, solve_sizes, specialise
from .environment import Verify, dump_folder, start_logging, verify_level
from .errors import InputError, check
from .ir import Function
from .passes.dump import DumpFolder, both, new_folder
from .passes.lower import Lowered, lower
from .passes.manager import Observer, Record, run_passes
from .passes.pipelines import Step, cpu_pipeline, cuda_pipeline
from .passes.plan_memory import plan_memory
from .passes.precision import check_precision, named_precision
from .report import memory_report, report_of
from .target import Target, named_target, nearest_card
from .tile.program import Memory, Program
from .tuning import Chooser, Tuning, read_tuning
from .types import Array

_LOG = logging.getLogger("mlir_lite")
# Names of files by stage.
_DUMPED = {"tile": "program.tile", "llvm": "program.ll", "cuda": "program.cu"}


# Named sizes, and the bytes of static parameters.
Key: TypeAlias = tuple[tuple[str, int | bytes], ...]


@dataclass(frozen=True)
class Options:
    """What changes how a function is compiled."""

    verify: Verify = "structure"
    winograd: str | int = "auto"
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
        return self.winograd, self.precision, steps


def compile(
    fn: Function,
    target: str = "cpu",
    threads: int | None = None,
    *,
    verify: Verify | None = None,
    winograd: str | int = "auto",
    precision: str = "f32",
    passes: Sequence[Step] | None = None,
    observe: Observer | None = None,
    dump: str | Path | None = None,
    tune: Tuning | str | Path | None = None,
    donate: Mapping[str, int] = MappingProxyType({}),
) -> Executable:
    """Compile a function for a target: "cpu" is this machine, "cpu:haswell" another, and
    "reference" runs the scheduled kernels in the interpreter, slowly and strictly. "cuda" is the
    card that is here, "cuda:sm_90" and the like are cards whose source one may look at without;
    machine code is made by the first call.

    `threads` defaults to the processors this process may use. `verify="each-pass"` also runs the
    interpreter after every pass and names the pass that changed a result. `winograd` is "auto",
    "off", 2 or 4. `dump` is a folder that gets a numbered file for the IR after each pass. `tune`
    is a record of measured choices that `ml.tune` made on this machine, or its file.

    `precision` is what factors of f32 products are rounded to; sums of them stay f32. "f32" rounds
    nothing. "bf16" lets products and convolutions by constants, on cards all of them, multiply bf16
    where the machine has an instruction for it: errors of 2**-8 in each factor instead of 2**-24
    for half the time and memory. Cards also have "tf32", errors of 2**-11, and "f16", the same for
    factors up to 65504, above which they are infinite, and from 2**-14 on.

    `donate` gives arrays away: `{"w": 0}` makes the call write result 0 into the array it gets for
    `w`, and return that array (`Function.donating` says so of the function itself).
    What is None is as the environment says (`mlir-lite env`). Raises `UnsupportedError` for what
    the target cannot do, `InputError` for an unknown precision, a record that is none, or one of
    another machine.
    """
    start_logging()
    precision = named_precision(precision)
    steps = None if passes is None else tuple(passes)
    folder = dump_folder() if dump is None else Path(dump)
    tuning = Tuning() if tune is None else tune if isinstance(tune, Tuning) else read_tuning(tune)
    options = Options(verify or verify_level(), winograd, precision, steps, observe, folder, tuning)
    fn = fn.donating({**fn.donated, **donate}) if donate else fn
    return Executable(fn, target, threads, options)


def backend_of(
    target: str, tuning: Chooser = Options.tuning, precision: str = Options.precision
) -> base.Backend:
    """The backend that a target's name asks for, with measured choices among its figures, and on a
    card with what the factors of f32 products are rounded to.

    `InputError` for choices that were measured on another machine.
    """
    if target == "reference":
        return ReferenceBackend(replace(cpu_target("cpu:avx512", 1)[0], tuning=tuning))
    if target.partition(":")[0] == "cuda":
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


def steps_of(options: Options, target: Target) -> tuple[Step, ...]:
    """The passes that a function goes through."""
    if options.passes is not None:
        return options.passes
    if target.gpu is not None:
        return cuda_pipeline(target, winograd=options.winograd)
    check_precision(options.precision, target)
    return cpu_pipeline(target, winograd=options.winograd, precision=options.precision)


def report_for(fn: Function, target: str, options: Options) -> str:
    """How each convolution of a function of known sizes is computed, why, and how accurately; and
    what memory the program takes."""
    options = replace(options, observe=None, dump=None)
    backend, _, lowered, program, _ = lower_for(fn, target, options)
    convolutions = report_of(fn, steps_of(options, backend.target), backend.target)
    return f"{convolutions}\n{memory_report(fn, program, lowered.constants)}"


def lower_for(
    fn: Function, target: str, options: Options
) -> tuple[base.Backend, Function, Lowered, Program, dict[str, float]]:
    """Everything before machine code: the backend, the function of groups, the planned program,
    and the seconds of each step."""
    backend = backend_of(target, options.tuning, options.precision)
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        seconds[name], clock = now - clock, now

    steps = steps_of(options, backend.target)
    observe = options.observe
    dumps = None
    if options.dump is not None:
        dumps = DumpFolder(new_folder(options.dump, fn.name))
        dumps.function("input", fn)
        observe = both(observe, dumps)
    fused = run_passes(fn, steps, verify=options.verify, observe=observe)
    lap("passes")
    lowered = lower(fused, backend.target)
    lap("lower")
    program = plan_memory(lowered)
    lap("plan")
    if dumps is not None:
        for name, text in backend.stage_texts(program).items():
            if name not in ("asm", "ptx", "sass", "resources"):  # made from others at a cost
                dumps.text(_DUMPED.get(name, name), text())
    return backend, fused, lowered, program, seconds


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for cycles among the hundreds of thousands of nodes that a compilation makes:
    nearly all live until its end, and looking would take an eighth of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def compile_static(
    fn: Function, target: str, threads: int | None, options: Options
) -> base.Executable:
    """Compile a function whose sizes are all known."""
    with _without_collection():
        backend = backend_of(target, options.tuning, options.precision)
        if isinstance(backend, CpuBackend) and options.is_silent:
            executable: base.Executable = _kept_or_made(fn, backend, target, threads, options)
        else:
            backend, fused, lowered, program, seconds = lower_for(fn, target, options)
            executable = backend.compile(
                program,
                lowered.constants,
                threads=threads,
                stages=_stages(fn, target, options, lambda: fused),
                seconds=seconds,
            )
    steps = ", ".join(f"{name} {took:.3f}" for name, took in executable.compile_seconds.items())
    _LOG.info("compiled @%s for %s; seconds: %s", fn.name, target, steps)
    return executable


def _kept_or_made(
    fn: Function, backend: CpuBackend, target: str, threads: int | None, options: Options
) -> base.Executable:
    """Compile through what `warm` keeps between runs."""
    start = time.perf_counter()
    name = warm.entry_name(fn, backend.target, backend.machine, options.deciding)
    kept = warm.find(name, fn)
    seconds = {"find": time.perf_counter() - start}
    if kept is None:
        watch = warm.Watch.on(fn)
        _, _, lowered, program, taken = lower_for(watch.function, target, options)
        seconds |= taken
        kept = warm.Kept(backend.image(program, seconds), lowered.constants)
        with base.timed_as(seconds, "keep"):
            warm.keep(name, watch, kept)

    # What only a reader wants is made anew: it is the same, and a start need not wait for it.
    @cache
    def again() -> tuple[Function, Program]:
        _, fused, _, program, _ = lower_for(fn, target, options)
        return fused, program

    return backend.load(
        kept.image,
        kept.constants,
        lambda: again()[1],
        threads=threads,
        stages=_stages(fn, target, options, lambda: again()[0]),
        seconds=seconds,
    )


def _stages(
    fn: Function, target: str, options: Options, fused: Callable[[], Function]
) -> base.Texts:
    """The texts of what comes before the program, each made when it is asked for."""
    return {
        "graph": lambda: str(fn),
        "report": lambda: report_for(fn, target, options),
        "fused": lambda: str(fused()),
    }


@dataclass
class Executable:
    """A compiled function, callable with arrays in the order of the parameters or by name."""

    function: Function
    target: str
    threads: int | None
    options: Options
    _made: dict[Key, base.Executable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.function.sizes and not self.function.static:
            self._made[()] = compile_static(
                self.function, self.target, self.threads, self.options
            )

    @overload
    def __call__(
        self,
        *arrays: Array,
        out: Array | Sequence[Array] | None = None,
        stream: object = None,
        **named: Array,
    ) -> base.Results: ...

    @overload
    def __call__(
        self, *arrays: object, out: Any = None, stream: object = None, **named: object
    ) -> Any: ...  # arrays of a card, or of the library that has those in `out`

    def __call__(
        self, *arrays: object, out: Any = None, stream: object = None, **named: object
    ) -> Any:
        """Run. Gives one array, or a tuple where the function has several results.

        NumPy arrays give NumPy arrays. A card also takes what is in its memory (`ml.to_device`,
        arrays of torch, CuPy, JAX), and then leaves the results there: `DeviceArray`s, which those
        libraries take by `from_dlpack`. `out` takes the results, `stream` is a stream of the card.
        """
        only = self._made.get(())
        if only is not None:
            # What most calls are, and passed on sooner.
            plain = out is None and stream is None and not named
            return only(*arrays) if plain else only(*arrays, out=out, stream=stream, **named)
        free = [param.name for param in self.function.params if param.name not in named]
        given = {**dict(zip(free, arrays, strict=False)), **named}
        stand_ins = {name: self._stand_in(name, value) for name, value in given.items()}
        further = arrays[len(free) :]  # too many: an error
        executable = self.for_arrays(named_arrays(self.function, further, stand_ins))
        inputs = (given[name] for name in executable.parameters)
        return executable(*inputs, out=out, stream=stream)

    def _stand_in(self, name: str, value: object) -> object:
        """What tells sizes: for an array that lies on a card one of the same type."""
        is_read = name in self.function.static or self.target.partition(":")[0] != "cuda"
        return value if is_read else stand_in(value)

    def for_arrays(self, arrays: Mapping[str, Array]) -> base.Executable:
        """The executable for the sizes of these arrays and the values of the static ones,
        compiled if they are new. It takes the arrays that are not static."""
        sizes = solve_sizes(self.function, list(arrays.values()))
        static = {name: arrays[name] for name in arrays if name in self.function.static}
        return self.for_sizes(sizes, static)

    def for_sizes(
        self, sizes: Mapping[str, int], values: Mapping[str, Array] = MappingProxyType({})
    ) -> base.Executable:
        """The executable for these named sizes and values of static parameters."""
        known = tuple(sorted((name, array.tobytes()) for name, array in values.items()))
        key: Key = (*sorted(sizes.items()), *known)
        if key not in self._made:
            fixed = specialise(self.function, sizes, values)
            self._made[key] = compile_static(fixed, self.target, self.threads, self.options)
        return self._made[key]

    def _latest(self) -> base.Executable:
        check(
            self._made,
            f"@{self.function.name} has the named sizes {', '.join(sorted(self.function.sizes))}: "
            "it is compiled at its first call, or by for_sizes({...})",
            InputError,
        )
        return next(reversed(self._made.values()))

    @property
    def stages(self) -> Mapping[str, str]:
        """The texts of the stages, of the sizes compiled last."""
        return self._latest().stages

    @property
    def report(self) -> str:
        """How each convolution is computed, why, and how accurately, of the sizes compiled last."""
        return self.stages["report"]

    @property
    def memory(self) -> Memory:
        """The memory plan, of the sizes compiled last."""
        return self._latest().memory

    @property
    def program(self) -> Program:
        """The program, of the sizes compiled last."""
        return self._latest().program

    @property
    def compile_seconds(self) -> Mapping[str, float]:
        """Seconds by step of compilation, of the sizes compiled last."""
        return self._latest().compile_seconds

    def clone(self) -> Executable:
        """Another executable of the same code and constants, to call at the same time."""
        made = {key: executable.clone() for key, executable in self._made.items()}
        copy = Executable.__new__(Executable)
        copy.__dict__.update(self.__dict__)
        copy._made = made
        return copy


__all__ = ["Executable", "Options", "Record", "compile", "compile_static", "lower_for"]
