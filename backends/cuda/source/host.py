"""A CUDA source with a host part: one file that nvcc builds into a C program of the user's own.

    int classifier_load(const char* weights);                  // memory, constants from a file
    int classifier_run(const float* x, float* result, cudaStream_t stream);   // on the card
    void classifier_unload(void);
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ....ir import ConstantData
from ....location import UNKNOWN
from ....sizes import round_up
from ....tile.program import (
    CallStep,
    IfStep,
    LoopStep,
    Role,
    Slot,
    Step,
    View,
    WhileStep,
)
from .c_names import element_type, identifier, identifiers
from .host_maps import ENCODE, map_lines, shared_memory_line
from .source import CudaSource

ALIGNMENT = 256  # of constants in the file of weights, as cudaMalloc aligns

_HEAD = """#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
"""

# Each step gives 0, an error of the CUDA runtime, or the negative number of a fault of the data.
_CHECKED = """#define CHECKED(call) \\
    do { int failed = (int)(call); if (failed) return failed; } while (0)"""


def weights_file(source: CudaSource, constants: Mapping[str, ConstantData]) -> bytes:
    """The file that `load` reads: every constant at a multiple of `ALIGNMENT`."""
    places, size = _places(source)
    found = np.zeros(size, np.uint8)
    for name, place in places.items():
        slot = source.program.slot(name)
        array = constants[name].array().astype(slot.type.dtype.numpy, copy=False)
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        found[place : place + flat.size] = flat
    return found.tobytes()


def _places(source: CudaSource) -> tuple[dict[str, int], int]:
    """Where constants lie in the file, and its size."""
    places: dict[str, int] = {}
    size = 0
    for slot in source.program.slots:
        if slot.role is Role.CONSTANT:
            places[slot.name] = size
            size += round_up(slot.type.nbytes, ALIGNMENT)
    return places, size


def host_source(source: CudaSource) -> str:
    """The source with its host part."""
    return _Host.of(source).text()


@dataclass(frozen=True)
class _Host:
    source: CudaSource
    name: str
    names: Mapping[str, str]  # of slots and of the turns of loops

    @staticmethod
    def of(source: CudaSource) -> _Host:
        turns: list[str] = []
        _collect(source.program.steps, turns)
        slots = [slot.name for slot in source.program.slots]
        taken = frozenset(("arena", "constants", "stream", "status", "failed", "count", "holds"))
        name = identifier(source.program.name)
        return _Host(source, name, identifiers([*slots, *turns], taken))

    def text(self) -> str:
        run = "\n".join(f"    {line}" for line in self._run())
        parts = (
            f"// @{self.source.program.name} for {self.source.target.name}, with its host part:\n"
            f"// nvcc {_flag(self.source.architecture)} -c model.cu\n"
            f"// {self.name}_load once, {self.name}_run on arrays of the card, then "
            f"{self.name}_unload.\n"
            "// They give 0, an error of CUDA, or less than 0 for a fault of the data.",
            _HEAD,
            self.source.device,
            _CHECKED,
            *((ENCODE,) if self._has_maps else ()),
            "static unsigned char *arena, *constants;\nstatic long long* status;",
            self._unload(),
            self._load(),
            f"{self._head()}\n{{\n{run}\n}}",
        )
        return "\n\n".join(parts) + "\n"

    def _head(self) -> str:
        program = self.source.program
        given = [f"{self._pointer(program.slot(name), True)}" for name in program.params]
        results = [
            self._pointer(program.slot(name), False)
            for name in program.results
            if program.slot(name).donor is None
        ]
        args = ", ".join((*given, *results, "cudaStream_t stream"))
        faults = "".join(
            f"// -{number}: {fault.message}, {fault.location}\n"
            for number, fault in program.faults.items()
        )
        shapes = ", ".join(
            f"{self.names[name]} {program.slot(name).type.dtype}"
            f"{list(program.slot(name).type.static_shape)}"
            for name in (*program.params, *program.results)
        )
        return f'// {shapes}\n{faults}extern "C" int {self.name}_run({args})'

    def _pointer(self, slot: Slot, reads: bool) -> str:
        donors = {other.donor for other in self.source.program.slots}
        const = "const " if reads and slot.name not in donors else ""
        return f"{const}{element_type(slot.type.dtype)}* {self.names[slot.name]}"

    def _load(self) -> str:
        memory = self.source.program.memory
        size = _places(self.source)[1]
        arena = max(1, memory.arena_bytes if memory else 0)
        lines = [
            f'extern "C" int {self.name}_load(const char* weights)',
            "{",
            f"    {self.name}_unload();",
            f"    CHECKED(cudaMalloc((void**)&arena, {arena}));",
            f"    CHECKED(cudaMalloc((void**)&constants, {max(1, size)}));",
            "    CHECKED(cudaMalloc((void**)&status, 8));",
            *(
                f"    {line}"
                for line in map(shared_memory_line, self.source.kernels.values())
                if line
            ),
        ]
        if size:
            lines += [
                f"    void* bytes = malloc({size});",
                "    if (!bytes) return (int)cudaErrorMemoryAllocation;",
                '    FILE* file = fopen(weights, "rb");',
                f"    size_t count = file ? fread(bytes, 1, {size}, file) : 0;",
                "    if (file) fclose(file);",
                f"    int failed = count == {size}",
                f"        ? (int)cudaMemcpy(constants, bytes, {size}, cudaMemcpyHostToDevice)",
                "        : (int)cudaErrorInvalidValue;",
                "    free(bytes);",
                "    return failed;",
            ]
        else:
            lines += ["    (void)weights;", "    return 0;"]
        return "\n".join([*lines, "}"])

    def _unload(self) -> str:
        return (
            f'extern "C" void {self.name}_unload(void)\n{{\n'
            "    cudaFree(arena);\n    cudaFree(constants);\n    cudaFree(status);\n"
            "    arena = constants = 0;\n    status = 0;\n}"
        )

    # What a run does

    def _run(self) -> Iterator[str]:
        places, _ = _places(self.source)
        for name, alignment in self.source.alignments.items():
            yield f"if ((size_t){self.names[name]} % {alignment}) {{"
            words = f"{self.name}_run: {name} lies at no multiple of {alignment} bytes"
            yield f'    fprintf(stderr, "{words}\\n");'
            yield "    return (int)cudaErrorMisalignedAddress;"
            yield "}"
        for slot in self.source.program.slots:
            kind, name = element_type(slot.type.dtype), self.names[slot.name]
            if slot.role is Role.ARENA:
                yield f"{kind}* {name} = ({kind}*)(arena + {slot.offset});"
            elif slot.role is Role.CONSTANT:
                yield f"const {kind}* {name} = (const {kind}*)(constants + {places[slot.name]});"
            elif slot.donor is not None:
                yield f"{kind}* {name} = {self.names[slot.donor]};"
        if self._has_status:
            yield "long long fault = 0;"
            yield "CHECKED(cudaMemsetAsync(status, 0, 8, stream));"
        yield from self._steps(self.source.program.steps)
        yield "return (int)cudaGetLastError();"

    @property
    def _has_maps(self) -> bool:
        return any(kernel.tensor_maps for kernel in self.source.kernels.values())

    @property
    def _has_status(self) -> bool:
        return any(slot.role is Role.STATUS for slot in self.source.program.slots)

    def _steps(self, steps: Sequence[Step]) -> Iterator[str]:
        for step in steps:
            match step:
                case CallStep():
                    yield from self._call(step)
                case LoopStep():
                    turn = self.names[step.name]
                    yield f"for (long long {turn} = 0; {turn} < {step.count}; ++{turn}) {{"
                    yield from _indented(self._steps(step.body))
                    yield "}"
                case WhileStep():
                    yield from self._while(step)
                case IfStep():
                    yield "{"
                    yield from _indented(self._asked(step.condition))
                    yield "    if (holds) {"
                    yield from _indented(_indented(self._steps(step.then)))
                    yield "    } else {"
                    yield from _indented(_indented(self._steps(step.otherwise)))
                    yield "    }"
                    yield "}"

    def _while(self, step: WhileStep) -> Iterator[str]:
        yield "for (long long count = 0;; ++count) {"
        yield from _indented(self._steps(step.test))
        yield from _indented(self._asked(step.condition))
        yield "    if (!holds) break;"
        if step.limit is not None:
            yield f"    if (count == {step.limit}) return -{step.fault};"
        yield from _indented(self._steps(step.body))
        yield "}"

    def _asked(self, view: View) -> Iterator[str]:
        yield "unsigned char holds = 0;"
        yield from self._fetched("holds", self._address(view), 1)

    def _fetched(self, target: str, address: str, count: int) -> Iterator[str]:
        copied = f"cudaMemcpyAsync(&{target}, {address}, {count}, cudaMemcpyDeviceToHost, stream)"
        yield f"CHECKED({copied});"
        yield "CHECKED(cudaStreamSynchronize(stream));"

    def _call(self, step: CallStep) -> Iterator[str]:
        kernel = self.source.kernels[step.kernel]
        where = "" if step.location == UNKNOWN else f": {step.location}"
        yield f"// {step.label}{where}"
        yield "{"
        for place, view in enumerate(step.args):
            yield f"    const void* a{place} = {self._address(view)};"
        for place, entry in enumerate(kernel.tensor_maps):
            yield from _indented(map_lines(entry, place))
        given = [f"a{place}" for place in range(len(step.args))]
        given += [f"m{place}" for place in range(len(kernel.tensor_maps))]
        pointers = ", ".join(f"(void*)&{name}" for name in given)
        yield f"    void* arguments[] = {{{pointers}}};"
        grid, block = (", ".join(map(str, sizes)) for sizes in (kernel.grid, kernel.block))
        yield f"    const dim3 grid({grid}), block({block});"
        yield f"    const void* kernel = (const void*){kernel.name};"
        launch = f"kernel, grid, block, arguments, {kernel.shared_bytes}, stream"
        yield f"    CHECKED(cudaLaunchKernel({launch}));"
        yield "}"
        if any(self.source.program.slot(view.slot).role is Role.STATUS for view in step.args):
            yield from self._fetched("fault", "status", 8)
            yield "if (fault) return -(int)fault;"

    def _address(self, view: View) -> str:
        slot = self.source.program.slot(view.slot)
        name = "status" if slot.role is Role.STATUS else self.names[slot.name]
        terms = [name, *([str(view.offset)] if view.offset else [])]
        terms += [f"{self.names[loop]} * {stride}" for loop, stride in view.strides]
        return " + ".join(terms)


def _collect(steps: Sequence[Step], turns: list[str]) -> None:
    for step in steps:
        match step:
            case LoopStep():
                turns.append(step.name)
                _collect(step.body, turns)
            case WhileStep():
                _collect((*step.test, *step.body), turns)
            case IfStep():
                _collect((*step.then, *step.otherwise), turns)


def _flag(architecture: str) -> str:
    """What nvcc is told of the card; one kind of card alone cannot be had in the short form, which
    makes assembler for later ones too."""
    if not architecture.endswith("a"):
        return f"-arch={architecture}"
    return f"-gencode arch={architecture.replace('sm_', 'compute_')},code={architecture}"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}"
