"""A kernel as LLVM functions.

    define void @relu(ptr noalias %p0, ptr noalias %p1, i64 %lo, i64 %hi)      ; one per stage
    define void @relu.task(ptr %context, i64 %lo, i64 %hi)                     ; unpacks pointers

The body is cut at its outermost statements into stages: a parallel loop is a stage whose
iterations [lo, hi) the dispatcher hands out, the statements between two of them run once, on one
thread. No pass runs over the text afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ...expr import INDEX, Const, Var
from ...expr.simplify import linear_sum
from ...memory import ALIGNMENT
from ...target import Target
from ...tile.nodes import Block, Buffer, Kernel, Kind, Loop, Space, Stmt
from .blas_threads import ENTER, LEAVE
from .emit_accesses import Site, access_sites
from .emit_calls import Callees
from .emit_expr import Evaluator
from .emit_frame import Frame
from .emit_private import check_sums, privatise
from .emit_registers import Registers, unit_lanes
from .emit_scalar import Scalars
from .emit_statements import Statements
from .emit_text import ScopedText, Value

# Take the lowest free slot of scratch memory; the i64 has a bit for each that is in use.
_SLOT_TAKEN = """\
  br label %look
look:
  %mask = load atomic i64, {used} monotonic, align 8
  %free = xor i64 %mask, -1
  %slot = call i64 @llvm.cttz.i64(i64 %free, i1 true)
  %bit = shl i64 1, %slot
  %others = xor i64 %bit, -1
  %taken = or i64 %mask, %bit
  %exchanged = cmpxchg {used}, i64 %mask, i64 %taken acquire monotonic
  %won = extractvalue {{ i64, i1 }} %exchanged, 1
  br i1 %won, label %run, label %look
run:
  %offset = mul i64 %slot, {size}
  %scratch = getelementptr i8, {base}, i64 %offset"""
STACK_BYTES = 64 << 10  # of locals in one function; what is larger lies in scratch memory
_LO, _HI = Value("%lo", INDEX), Value("%hi", INDEX)


@dataclass(frozen=True)
class Stage:
    """A part of a kernel: `task` is `void (ptr context, i64 lo, i64 hi)` over [0, extent)."""

    task: str
    extent: int


@dataclass(frozen=True)
class KernelText:
    """A kernel's functions, the declarations they need, and what a caller must give.

    A task's context is an array of pointers: the parameters; then, if `common_bytes`, memory that
    the stages share; then, if `thread_bytes`, scratch memory of so many bytes a thread and the
    address of an i64 that is 0 at the start of the stage (at most 64 threads).
    """

    name: str
    text: str
    declarations: frozenset[str]
    stages: tuple[Stage, ...]
    common_bytes: int = 0
    thread_bytes: int = 0
    routines: tuple[str, ...] = ()  # the C functions it calls


@dataclass(frozen=True)
class _Part:
    """A stage before it is emitted; `start` is where a parallel axis begins."""

    body: Block
    sites: tuple[Site, ...]
    loop: Loop | None = None
    start: int = 0
    extent: int = 1

    @property
    def buffers(self) -> frozenset[str]:
        """The buffers that it reads or writes."""
        return frozenset(site.buffer for site in self.sites)


@dataclass(frozen=True)
class _Places:
    """Where SHARED locals live: offsets in common and thread memory; the others on the stack."""

    common: Mapping[str, int]
    thread: Mapping[str, int]
    common_bytes: int
    thread_bytes: int


def emit_kernel(
    kernel: Kernel,
    target: Target,
    *,
    aliased: frozenset[str] = frozenset(),
    instructions: frozenset[str] = frozenset(),
) -> KernelText:
    """The functions of a kernel.

    `aliased` names the parameters whose memory a write to another parameter may change,
    `instructions` what the machine has of `tile/instructions.py`.
    """
    kernel = privatise(kernel)
    check_sums(kernel)
    callees = Callees(kernel)
    kernel = replace(kernel, locals=kernel.locals + callees.locals())
    parts = tuple(_parts(kernel.body, callees))
    places = _places(kernel, parts)
    job = _Job(kernel, target, aliased, instructions, places, callees)
    texts: list[str] = []
    declarations: set[str] = set()
    stages: list[Stage] = []
    for number, part in enumerate(parts):
        name = kernel.name if len(parts) == 1 else f"{kernel.name}.{number}"
        halves = "vpdpbf16ps" in instructions  # these come together
        out = ScopedText(fma=target.has_fma, scale=target.has_avx512, halves=halves)
        texts += [job.function(part, name, out), job.task(name)]
        declarations |= out.declarations
        if places.thread_bytes:
            declarations.add("declare i64 @llvm.cttz.i64(i64, i1)")
        if kernel.externs:
            declarations |= {f"declare void @{name}()" for name in (ENTER, LEAVE)}
        stages.append(Stage(f"{name}.task", part.extent))
    return KernelText(
        kernel.name,
        "\n\n".join(texts),
        frozenset(declarations),
        tuple(stages),
        places.common_bytes,
        places.thread_bytes,
        tuple(sorted({extern.routine for extern in kernel.externs})),
    )


def _parts(body: Block, callees: Callees) -> Iterator[_Part]:
    """Parallel loops, and what stands between them."""

    def sites(block: Block) -> tuple[Site, ...]:
        return tuple(access_sites(block, callees))

    serial: list[Stmt] = []
    for stmt in body:
        match stmt:
            case Loop(kind=Kind.PARALLEL, start=Const(value=start), stop=Const(value=stop)) if (
                stop > start + 1
            ):
                if serial:
                    yield _Part(tuple(serial), sites(tuple(serial)))
                    serial = []
                extent = int(stop) - int(start)
                yield _Part(stmt.body, sites(stmt.body), stmt, int(start), extent)
            case _:
                serial.append(stmt)
    if serial:
        yield _Part(tuple(serial), sites(tuple(serial)))


def _places(kernel: Kernel, parts: tuple[_Part, ...]) -> _Places:
    """Common memory for locals of several stages, thread memory for what the stack cannot hold."""
    using = [part.buffers for part in parts]
    common: dict[str, int] = {}
    thread: dict[str, int] = {}
    common_bytes = thread_bytes = stack_bytes = 0
    for local in sorted(kernel.locals, key=lambda local: (_bytes(local), local.name)):
        if local.space is not Space.SHARED:
            continue
        if sum(local.name in used for used in using) > 1:
            common[local.name] = common_bytes
            common_bytes += _bytes(local)
        elif stack_bytes + _bytes(local) > STACK_BYTES:
            thread[local.name] = thread_bytes
            thread_bytes += _bytes(local)
        else:
            stack_bytes += _bytes(local)
    return _Places(common, thread, common_bytes, thread_bytes)


def _bytes(local: Buffer) -> int:
    """The size of a buffer, rounded up to whole cache lines."""
    return -(-local.elements * local.dtype.bytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class _Job:
    """What all stages of a kernel have in common."""

    kernel: Kernel
    target: Target
    aliased: frozenset[str]
    instructions: frozenset[str]
    places: _Places
    callees: Callees

    def function(self, part: _Part, name: str, out: ScopedText) -> str:
        """The function that does the work of a stage."""
        statements = self._statements(part, out)
        if part.loop is None:
            statements.block(part.body)
        else:
            _share(part, statements)
        # Nontemporal stores are seen in order only from a fence on.
        fence = ["fence seq_cst"] * statements.evaluator.memory.past_caches
        body = [*out.finished(), *fence, "ret void"]
        params = [
            f"ptr {'' if param.name in self.aliased else 'noalias '}%p{number}"
            for number, param in enumerate(self.kernel.params)
        ]
        params += ["ptr %common"] * bool(self.places.common_bytes)
        params += ["ptr %scratch"] * bool(self.places.thread_bytes)
        params += ["i64 %lo", "i64 %hi"]
        lines = "\n".join(line if line.endswith(":") else f"  {line}" for line in body)
        width = f'"prefer-vector-width"="{8 * self.target.vector_bytes}"'
        head = f"define void {symbol(name)}({', '.join(params)}) nounwind {width}"
        return f"{head} {{\nentry:\n{lines}\n}}"

    def _statements(self, part: _Part, out: ScopedText) -> Statements:
        """The emitter of a stage's statements, with every buffer in its place."""
        scalars = Scalars(out, modern=self.target.has_fma)
        masked = self.target.vector_bytes if self.target.has_avx512 else 0
        frame = Frame(out, scalars, self.kernel.buffers, masked_bytes=masked)
        for number, param in enumerate(self.kernel.params):
            frame.pointers[param.name] = f"%p{number}"
        self._place_locals(part.buffers, frame)
        units = _units(self.kernel, part)
        registers = Registers(out, scalars, self.kernel.buffers, units)
        evaluator = Evaluator(frame, registers, self.aliased)
        return Statements(frame, registers, evaluator, self.callees, self.instructions)

    def _place_locals(self, used: frozenset[str], frame: Frame) -> None:
        places = self.places
        for local in self.kernel.locals:
            if local.space is not Space.SHARED or local.name not in used:
                continue
            if local.name in places.common:
                text = f"getelementptr i8, ptr %common, i64 {places.common[local.name]}"
            elif local.name in places.thread:
                text = f"getelementptr i8, ptr %scratch, i64 {places.thread[local.name]}"
            else:
                text = f"alloca [{_bytes(local)} x i8], align {ALIGNMENT}"
            frame.pointers[local.name] = frame.out.define_anew(text)

    def task(self, name: str) -> str:
        """The function that takes the pointers from a context."""
        places, count = self.places, len(self.kernel.params)
        lines: list[str] = []

        def load(register: str, slot: int) -> str:
            lines.append(f"  {register}.at = getelementptr ptr, ptr %context, i64 {slot}")
            lines.append(f"  {register} = load ptr, ptr {register}.at")
            return f"ptr {register}"

        args = [load(f"%p{number}", number) for number in range(count)]
        if places.common_bytes:
            args.append(load("%common", count))
            count += 1
        if places.thread_bytes:
            base, used = load("%base", count), load("%used", count + 1)
            lines += _SLOT_TAKEN.format(used=used, base=base, size=places.thread_bytes).splitlines()
            args.append("ptr %scratch")
        args += ["i64 %lo", "i64 %hi"]
        calls = [f"  call void {symbol(name)}({', '.join(args)})"]
        if self.kernel.externs:
            calls = [f"  call void @{ENTER}()", *calls, f"  call void @{LEAVE}()"]
        lines += calls
        if places.thread_bytes:
            lines.append(f"  %left = atomicrmw and {used}, i64 %others release")
        body = "\n".join([*lines, "  ret void"])
        head = f"define void {symbol(name + '.task')}(ptr %context, i64 %lo, i64 %hi) nounwind"
        return f"{head} {{\n{body}\n}}"


def _share(part: _Part, statements: Statements) -> None:
    """The iterations [lo, hi) of the parallel loop."""
    assert part.loop is not None
    frame, axis = statements.frame, part.loop.axis
    first, end = _LO, _HI
    if part.start:
        start = frame.scalars.same(part.start, _LO)
        first = frame.scalars.binary("add", _LO, start)
        end = frame.scalars.binary("add", _HI, start)
    frame.bounds[axis] = (part.start, part.start + part.extent - 1)
    statements.counted(axis, first, end, part.body, may_be_empty=True)


def _units(kernel: Kernel, part: _Part) -> dict[str, int]:
    """How many lanes each register buffer is kept in (see `emit_registers`)."""
    units: dict[str, int] = {}
    buffers = kernel.buffers
    for site in part.sites:
        buffer = buffers[site.buffer]
        if buffer.space is not Space.REGISTER or site.vector is None:
            continue
        axis = Var(INDEX, site.vector.name)
        memory = buffer.layout.apply(site.indices) if buffer.layout else site.indices
        terms = linear_sum(zip(memory, buffer.strides, strict=True))
        if terms.pop(axis, 0) != 1:
            continue
        first = terms.pop(None, 0) + site.vector.start
        lanes = unit_lanes(site.vector.lanes, (first, *terms.values()))
        units[buffer.name] = unit_lanes(lanes, (units.get(buffer.name, lanes),))
    return {local.name: units.get(local.name, 1) for local in kernel.locals}


def symbol(name: str) -> str:
    """A function's name as LLVM spells it."""
    plain = all(c.isascii() and (c.isalnum() or c in "._$-") for c in name)
    return f"@{name}" if plain and not name[0].isdigit() else f'@"{name}"'
