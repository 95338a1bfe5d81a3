"""A kernel as LLVM functions.

    define void @relu(ptr noalias %p0, ptr noalias %p1, i64 %lo, i64 %hi)      ; one per stage
    define void @relu.task(ptr %context, i64 %lo, i64 %hi)                     ; unpacks pointers

The body is cut at its outermost statements into stages: a parallel loop is a stage whose
iterations [lo, hi) the dispatcher hands out, the statements between two of them run once, on one
thread. No pass runs over the text afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....expr import INDEX
from ....memory import ALIGNMENT
from ....target import Target
from ....tile.nodes import Kernel, Space
from ..machine.blas_threads import ENTER, LEAVE
from ..machine.threads import MOST_THREADS
from ..scalars.rules import Scalars
from ..text.scopes import ScopedText, Value
from .calls import Callees
from .expr import Evaluator
from .frame import Frame
from .matrices import FEATURES, Matrices, in_memory
from .parts import Part, Places, lanes_of_units, local_bytes, parts_of, places_of
from .private import check_sums, privatise
from .registers import Registers
from .statements import Statements

SLOT_WORDS = -(-MOST_THREADS // 64)

# Take the lowest free slot of scratch memory; the words have a bit for each that is in use.
_SLOT_TAKEN = """\
  br label %look
look:
  %word = phi i64 [ 0, %entry ], [ %word, %some ], [ %word.next, %full ]
  %word.at = getelementptr i64, {used}, i64 %word
  %mask = load atomic i64, ptr %word.at monotonic, align 8
  %free = xor i64 %mask, -1
  %none = icmp eq i64 %free, 0
  br i1 %none, label %full, label %some
full:
  %word.after = add i64 %word, 1
  %word.next = urem i64 %word.after, {words}
  br label %look
some:
  %place = call i64 @llvm.cttz.i64(i64 %free, i1 true)
  %bit = shl i64 1, %place
  %others = xor i64 %bit, -1
  %taken = or i64 %mask, %bit
  %exchanged = cmpxchg ptr %word.at, i64 %mask, i64 %taken acquire monotonic
  %won = extractvalue {{ i64, i1 }} %exchanged, 1
  br i1 %won, label %run, label %look
run:
  %words.before = shl i64 %word, 6
  %slot = or i64 %words.before, %place
  %offset = mul i64 %slot, {size}
  %scratch = getelementptr i8, {base}, i64 %offset"""
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
    address of `SLOT_WORDS` words that are 0 at the start of the stage, and again at its end.
    """

    name: str
    text: str
    declarations: frozenset[str]
    stages: tuple[Stage, ...]
    common_bytes: int = 0
    thread_bytes: int = 0
    routines: tuple[str, ...] = ()  # the C functions it calls


def emit_kernel(
    kernel: Kernel,
    target: Target,
    *,
    aliased: frozenset[str] = frozenset(),
    instructions: frozenset[str] = frozenset(),
) -> KernelText:
    """The functions of a kernel.

    `aliased` names the parameters whose memory a write to another parameter may change,
    `instructions` what the machine has of `tile/instructions`.
    """
    kernel = privatise(kernel)
    if not FEATURES.keys() & instructions:
        kernel = in_memory(kernel)
    check_sums(kernel)
    callees = Callees(kernel)
    kernel = replace(kernel, locals=kernel.locals + callees.locals())
    parts = tuple(parts_of(kernel.body, callees))
    places = places_of(kernel, parts)
    job = _Job(kernel, target, aliased, instructions, places, callees)
    texts: list[str] = []
    declarations: set[str] = set()
    stages: list[Stage] = []
    for number, part in enumerate(parts):
        name = kernel.name if len(parts) == 1 else f"{kernel.name}.{number}"
        halves = "vpdpbf16ps" in instructions  # these come together
        out = ScopedText(fma=target.has_fma, avx512=target.has_avx512, halves=halves)
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


@dataclass(frozen=True)
class _Job:
    """What all stages of a kernel have in common."""

    kernel: Kernel
    target: Target
    aliased: frozenset[str]
    instructions: frozenset[str]
    places: Places
    callees: Callees

    def function(self, part: Part, name: str, out: ScopedText) -> str:
        """The function that does the work of a stage."""
        statements = self._statements(part, out)
        statements.matrices.begin(out)
        if part.loop is None:
            statements.block(part.body)
        else:
            _share(part, statements)
        statements.matrices.end(out)
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

    def _statements(self, part: Part, out: ScopedText) -> Statements:
        """The emitter of a stage's statements, with every buffer in its place."""
        scalars = Scalars(out, modern=self.target.has_fma)
        masked = self.target.vector_bytes if self.target.has_avx512 else 0
        frame = Frame(out, scalars, self.kernel.buffers, masked_bytes=masked)
        for number, param in enumerate(self.kernel.params):
            frame.pointers[param.name] = f"%p{number}"
        self._place_locals(part.buffers, frame)
        units = lanes_of_units(self.kernel, part)
        registers = Registers(out, scalars, self.kernel.buffers, units)
        evaluator = Evaluator(frame, registers, self.aliased)
        matrices = Matrices.of(self.kernel, part.buffers)
        return Statements(
            frame, registers, evaluator, self.callees, self.instructions, matrices
        )

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
                text = f"alloca [{local_bytes(local)} x i8], align {ALIGNMENT}"
            frame.pointers[local.name] = frame.out.define_anew(text)

    def task(self, name: str) -> str:
        """The function that takes the pointers from a context."""
        places, count = self.places, len(self.kernel.params)
        lines = ["entry:"] * bool(places.thread_bytes)

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
            size = places.thread_bytes
            taken = _SLOT_TAKEN.format(used=used, base=base, size=size, words=SLOT_WORDS)
            lines += taken.splitlines()
            args.append("ptr %scratch")
        args += ["i64 %lo", "i64 %hi"]
        calls = [f"  call void {symbol(name)}({', '.join(args)})"]
        if self.kernel.externs:
            calls = [f"  call void @{ENTER}()", *calls, f"  call void @{LEAVE}()"]
        lines += calls
        if places.thread_bytes:
            lines.append("  %left = atomicrmw and ptr %word.at, i64 %others release")
        body = "\n".join([*lines, "  ret void"])
        head = f"define void {symbol(name + '.task')}(ptr %context, i64 %lo, i64 %hi) nounwind"
        return f"{head} {{\n{body}\n}}"


def _share(part: Part, statements: Statements) -> None:
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


def symbol(name: str) -> str:
    """A function's name as LLVM spells it."""
    plain = all(c.isascii() and (c.isalnum() or c in "._$-") for c in name)
    return f"@{name}" if plain and not name[0].isdigit() else f'@"{name}"'
