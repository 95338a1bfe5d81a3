"""The driver: from a function to an executable.

A function with named sizes gives an executable that compiles on the first call for the sizes it
meets, and keeps what it compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeAlias, overload

from .backends import base
from .backends.llvm.machine.threads import check_threads
from .backends.llvm.weights import Weights
from .compilation import compile_static
from .dsl import named_arrays, solve_sizes, specialise
from .dsl.nn.module import Module
from .environment import Verify, dump_folder, named_level, start_logging, verify_level
from .errors import InputError, check
from .ir import Function, results_of
from .options import Options, backend_of
from .passes.narrowing.precisions import named_precision
from .tile.program import Memory, Program
from .tuning import Tuning, read_tuning
from .types import Array

if TYPE_CHECKING:
    from .passes.manager import Observer
    from .passes.pipelines import Step

# Named sizes, and the bytes of static parameters.
Key: TypeAlias = tuple[tuple[str, int | bytes], ...]

P = ParamSpec("P")


def compile(
    fn: Function,
    target: str = "cpu",
    threads: int | None = None,
    *,
    verify: Verify | None = None,
    winograd: str | int = "auto",
    strassen: str = "off",
    precision: str = "f32",
    passes: str | Sequence[Step] | None = None,
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

    `strassen="auto"` lets products by large constant matrices be seven products of their halves
    where that is faster and loses at most 8 eps of the largest result. Rows then come in pairs: one
    that is infinite or NaN makes its other NaN, and both are rounded as the larger one is.

    `precision` is what factors of f32 products are rounded to; sums of them stay f32. "f32" rounds
    nothing. "bf16" lets products and convolutions by constants, on cards all of them, multiply bf16
    where the machine has an instruction for it: errors of 2**-8 in each factor instead of 2**-24
    for half the time and memory. Cards also have "tf32", errors of 2**-11, and "f16", the same for
    factors up to 65504, above which they are infinite, and from 2**-14 on.

    `passes` are the passes instead of the target's own, as a text: "canonicalize,my-pass,cpu",
    where `cpu` stands for all of a CPU's, the last of which makes the groups.

    `donate` gives arrays away: `{"w": 0}` makes the call write result 0 into the array it gets for
    `w`, and return that array (`Function.donating` says so of the function itself).
    What is None is as the environment says (`mlir-lite env`). Raises `UnsupportedError` for what
    the target cannot do, `InputError` for an unknown precision, more threads than there can be, a
    record that is none, or one of another machine.
    """
    start_logging()
    if not isinstance(fn, Function):
        raise InputError(_advice_for(fn))
    if threads is not None:
        check_threads(threads)
    precision = named_precision(precision)
    steps = None if passes is None else _steps(passes, target)
    folder = dump_folder() if dump is None else Path(dump)
    tuning = Tuning() if tune is None else tune if isinstance(tune, Tuning) else read_tuning(tune)
    options = Options(
        named_level(verify or verify_level()),
        winograd,
        strassen,
        precision,
        steps,
        observe,
        folder,
        tuning,
    )
    fn = fn.donating({**fn.donated, **donate}) if donate else fn
    return Executable(fn, target, threads, options)


def _steps(passes: str | Sequence[Step], target: str) -> tuple[Step, ...]:
    """The steps of a text for a target; steps as they are."""
    from .passes.pipelines import Step, parse_pipeline  # lazy: it loads every pass

    if isinstance(passes, str):
        return parse_pipeline(passes, backend_of(target).target)
    wrong = [entry for entry in passes if not isinstance(entry, Step)]
    message = f"passes is a text such as 'cpu' or 'a,b{{x=1}},c', not {passes!r}"
    check(not wrong, message, InputError)
    return tuple(passes)


def _advice_for(given: object) -> str:
    """What to write in place of something that is no function of the graph IR."""
    if isinstance(given, Module):
        return (
            f"ml.compile takes a function; that of the module {type(given).__name__} is "
            "ml.function(module, f32[8, 16]), with the types of its inputs"
        )
    what = getattr(given, "__name__", type(given).__name__)
    return f"ml.compile takes a function that @ml.function(f32[8, 16]) made, not {what}"


@dataclass(repr=False)
class Executable:
    """A compiled function, callable with arrays in the order of the parameters or by name."""

    function: Function
    target: str
    threads: int | None
    options: Options
    _made: dict[Key, base.Executable] = field(default_factory=dict)
    _run: Callable[[Sequence[object]], Any] | None = None  # where there is one only
    _weights: Weights = field(default_factory=Weights)  # of all sizes, on a CPU

    def __post_init__(self) -> None:
        if not self.function.sizes and not self.function.static:
            made = compile_static(self.function, self.target, self.threads, self.options)
            self._hold({(): made})
        else:
            from .lowering import check_options  # lazy: it loads every pass

            check_options(self.target, self.options)

    def __repr__(self) -> str:
        """`<Executable @rnn for cpu, compiled for time=100>`."""
        known = [_sizes_text(key) for key in self._made if key]
        compiled = f", compiled for {'; '.join(known)}" if known else ""
        return f"<Executable @{self.function.name} for {self.target}{compiled}>"

    def _repr_html_(self) -> str:
        """For a notebook: sizes, memory, times and kernels, of the sizes compiled last."""
        from .summary import summary_of  # lazy: only notebooks ask

        return summary_of(self, compiled=bool(self._made))

    def _hold(self, made: dict[Key, base.Executable]) -> None:
        """Take what is compiled."""
        self._made = made
        self._run = self._formed(made[()].run) if () in made else None

    def _formed(self, run: Callable[P, base.Results]) -> Callable[P, Any]:
        """Calls whose results are in the form of the function's."""
        form = self.function.form
        if form is None:
            return run
        return lambda *args, **named: form(results_of(run(*args, **named)))

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
        """Run. Gives one array, or a tuple where the function has several results; of a model of
        torch what the model gives, with arrays for tensors.

        NumPy arrays give NumPy arrays. A card also takes what is in its memory (`ml.to_device`,
        arrays of torch, CuPy, JAX), and then leaves the results there: `DeviceArray`s, which those
        libraries take by `from_dlpack`. `out` takes the results, `stream` is a stream of the card.
        """
        if self._run is not None:
            if out is None and stream is None and not named:
                return self._run(arrays)  # what most calls are, passed on sooner
            return self._formed(self._made[()])(*arrays, out=out, stream=stream, **named)
        free = [param.name for param in self.function.params if param.name not in named]
        given = {**dict(zip(free, arrays, strict=False)), **named}
        stand_ins = {name: self._stand_in(name, value) for name, value in given.items()}
        further = arrays[len(free) :]  # too many: an error
        executable = self.for_arrays(named_arrays(self.function, further, stand_ins))
        inputs = (given[name] for name in executable.parameters)
        return self._formed(executable)(*inputs, out=out, stream=stream)

    def _stand_in(self, name: str, value: object) -> object:
        """What tells sizes: for an array that lies on a card one of the same type."""
        is_read = name in self.function.static or self.target.partition(":")[0] != "cuda"
        if is_read:
            return value
        from .backends.cuda.card.given import stand_in  # lazy: what a CPU never needs

        return stand_in(value)

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
            self._made[key] = compile_static(
                fixed, self.target, self.threads, self.options, self._weights
            )
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

    def __copy__(self) -> Executable:
        return self.clone()

    def __deepcopy__(self, memo: object) -> Executable:
        return self.clone()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an executable is not pickled: it holds machine code in this process; compile the "
            "function in the other one, where the cache has what was compiled here"
        )

    def clone(self) -> Executable:
        """Another executable of the same code and constants, to call at the same time."""
        made = {key: executable.clone() for key, executable in tuple(self._made.items())}
        copy = Executable.__new__(Executable)
        copy.__dict__.update(self.__dict__)
        copy._hold(made)
        return copy


def _sizes_text(key: Key) -> str:
    return ", ".join(f"{name}={value}" for name, value in key if not isinstance(value, bytes))


__all__ = ["Executable", "compile"]
