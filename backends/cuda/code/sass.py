"""The machine code of a card as text (SASS), and the loop in it where a kernel's time goes.

        /*0a40*/              @!P0 LDG.E.128 R4, desc[UR8][R2.64] ;
        /*0a50*/               @P1 BRA `(.L_x_2) ;
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....errors import RunError, UnsupportedError, check
from .nvrtc import Binary

_SECTION = re.compile(r"\.text\.(\w+):")
_LABEL = re.compile(r"(\.L_\w+):")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]+\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)(?:\s+([^;]*))?;")
_TARGET = re.compile(r"`\((\.L_\w+)\)")
PRODUCTS = ("HGMMA", "HMMA")  # of matrices
COPIES = ("LDGSTS", "UTMALDG")  # into shared memory, that go on beside
_ENDS = frozenset(("EXIT", "RET", "BRX", "JMX", "KILL"))


@dataclass(frozen=True)
class Instruction:
    """One instruction: `is_guarded` if a predicate says whether it is done."""

    opcode: str
    operands: str
    is_guarded: bool

    @property
    def name(self) -> str:
        """What it is called without its many modifiers, but with its width: `LDG.128`."""
        name, *modifiers = self.opcode.split(".")
        widths = [modifier for modifier in modifiers if modifier in ("64", "128")]
        return ".".join((name, *(widths if name.startswith(("LD", "ST")) else ())))


@dataclass(frozen=True)
class Listing:
    """A kernel's instructions, and which of them the labels stand before."""

    code: Sequence[Instruction]
    labels: Mapping[str, int]

    def successors(self, place: int) -> Iterator[int]:
        """Where it goes on after an instruction."""
        at = self.code[place]
        name = at.opcode.split(".")[0]
        # Loops are left by calls that do not come back, too.
        target = _TARGET.search(at.operands) if name in ("BRA", "CALL") else None
        if target is not None:
            yield self.labels[target[1]]
            decides = at.is_guarded or "," in at.operands  # or by an operand: `BRA.U UP0, ..`
        else:
            decides = at.is_guarded or name not in _ENDS
        if decides and place + 1 < len(self.code):
            yield place + 1

    def loops(self) -> Mapping[int, frozenset[int]]:
        """The places of each loop's instructions, by where the loop begins."""
        before: dict[int, list[int]] = {}
        found: dict[int, set[int]] = {}
        backward: list[tuple[int, int]] = []
        seen, path = {0}, {0}
        stack = [(0, self.successors(0))]
        while stack:
            place, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                path.discard(place)
                stack.pop()
                continue
            before.setdefault(following, []).append(place)
            if following in path:
                backward.append((place, following))
            elif following not in seen:
                seen.add(following)
                path.add(following)
                stack.append((following, self.successors(following)))
        for last, first in backward:
            body = found.setdefault(first, {first})
            pending = [last]
            while pending:
                place = pending.pop()
                if place not in body:
                    body.add(place)
                    pending += before.get(place, [])
        return {first: frozenset(body) for first, body in found.items()}

    def _is_product(self, place: int) -> bool:
        return self.code[place].name in PRODUCTS

    def usual_turn(self) -> tuple[Instruction, ...]:
        """Of the main loop those of the shortest way around it with all its products and copies:
        what is done in turns in which nothing rare happens. The main loop where that is no loop."""
        loops = self.loops()
        body = self._main_places()
        first = next((first for first, places in loops.items() if places == body), None)
        if first is None:
            return tuple(self.code[place] for place in sorted(body))
        ways: dict[int, tuple[int, int, tuple[int, ...]]] = {}
        for place in self._inner_first(first, body, loops):
            onward = [
                ways[following] if following != first else (0, 0, ())
                for following in self.successors(place)
                if following == first or following in ways
            ]
            if onward:
                work, less, way = max(onward, key=lambda way: way[:2])
                does = self.code[place].name.startswith((*PRODUCTS, *COPIES))
                ways[place] = (work + does, less - 1, (place, *way))
        return tuple(self.code[place] for place in ways[first][2])

    def _inner_first(
        self, first: int, body: frozenset[int], loops: Mapping[int, frozenset[int]]
    ) -> Iterator[int]:
        """The places of a loop, each after all that follow it in a turn."""
        seen = {first}
        stack = [(first, self.successors(first))]
        while stack:
            place, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                yield place
                continue
            is_back = place in loops.get(following, ())
            if following in body and following not in seen and not is_back:
                seen.add(following)
                stack.append((following, self.successors(following)))

    def main_loop(self) -> tuple[Instruction, ...]:
        """The instructions of the innermost loop that has the most products of matrices, around
        loops in which threads only wait; where none has any, of the loop that is nested deepest, of
        several the longest; all where there is no loop."""
        return tuple(self.code[place] for place in sorted(self._main_places()))

    def _main_places(self) -> frozenset[int]:
        loops = list(self.loops().values())
        if not loops:
            return frozenset(range(len(self.code)))
        products = {body: sum(map(self._is_product, body)) for body in loops}
        most = max(products.values())
        if most:
            return min((body for body in loops if products[body] == most), key=len)
        innermost = [body for body in loops if not any(other < body for other in loops)]
        return max(innermost, key=lambda body: (sum(body <= other for other in loops), len(body)))


def counts(code: Sequence[Instruction]) -> Counter[str]:
    """How many there are of each name."""
    return Counter(instruction.name for instruction in code)


def listings(text: str) -> dict[str, Listing]:
    """The kernels of a disassembly by their names."""
    found: dict[str, tuple[list[Instruction], dict[str, int]]] = {}
    code: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if match := _SECTION.fullmatch(stripped):
            code, labels = found.setdefault(match[1], ([], {}))
        elif match := _LABEL.fullmatch(stripped):
            labels[match[1]] = len(code)
        elif (match := _INSTRUCTION.search(line)) and match[2] != "NOP":
            code.append(Instruction(match[2], (match[3] or "").strip(), match[1] is not None))
    return {name: Listing(*parts) for name, parts in found.items()}


def sass_text(binary: Binary) -> str:
    """The disassembly of kernels. `UnsupportedError` where NVIDIA's disassembler is missing."""
    tool = _disassembler()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.cubin"
        file.write_bytes(binary.code)
        done = subprocess.run([tool, "-c", str(file)], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"nvdisasm refuses the machine code: {done.stderr}", RunError)
    return done.stdout


def _disassembler() -> str:
    try:
        from cuda.pathfinder import find_nvidia_binary_utility

        found: str | None = find_nvidia_binary_utility("nvdisasm")
    except (ImportError, RuntimeError):
        found = None
    if found is None:
        raise UnsupportedError(
            "NVIDIA's disassembler is not installed: pip install 'mlir-lite[cuda]'"
        )
    return found
