"""Calls of procs and instructions: the callee's names are bound to the caller's windows and
indices, and its body is emitted in the caller's place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ....errors import VerifyError
from ....expr import INDEX, Expr, Var, index
from ....tile.inline import touching
from ....tile.instructions.table import INSTRUCTIONS
from ....tile.nodes import Buffer, Call, Extern, Kernel, Proc, Window
from ....tile.traverse import substitute_block
from ....tile.tree import Names, copy_block


@dataclass(frozen=True)
class BoundWindow:
    """What a callee's buffer stands for: part of a buffer of the kernel.

    The callee's dimensions are the last ones of that buffer.
    """

    buffer: str
    offsets: tuple[Expr, ...]
    _moved: dict[int, tuple[tuple[Expr, ...], tuple[Expr, ...]]] = field(default_factory=dict)

    def move(self, at: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """The index in the kernel's buffer; the same object for the same `at`."""
        known = self._moved.get(id(at))
        if known is None:
            lead = len(self.offsets) - len(at)
            inner = (o + part for o, part in zip(self.offsets[lead:], at, strict=True))
            known = self._moved[id(at)] = (at, (*self.offsets[:lead], *inner))
        return known[1]


@dataclass
class Callees:
    """The procs and instructions that a kernel may call, with axes unlike the kernel's own.

    A C function stands among them as loops that touch what it touches.
    """

    kernel: Kernel
    _names: Names = field(init=False)
    _found: dict[str, Proc] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = Names(self.kernel)

    def find(self, call: Call) -> Proc:
        """The callee; its locals have names of their own, too."""
        if call.callee not in self._found:
            self._found[call.callee] = self._renamed(self._defined(call.callee))
        callee = self._found[call.callee]
        if (len(call.windows), len(call.scalars)) != (len(callee.params), len(callee.scalars)):
            raise VerifyError(
                f"kernel '{self.kernel.name}': '{call.callee}' takes {len(callee.params)} windows "
                f"and {len(callee.scalars)} scalars"
            )
        return callee

    def extern(self, name: str) -> Extern | None:
        """The C function of this name, if that is one."""
        return next((extern for extern in self.kernel.externs if extern.name == name), None)

    def locals(self) -> tuple[Buffer, ...]:
        """The locals of all procs under the names that `windows` binds them to."""
        return tuple(
            replace(local, name=_own_name(proc.name, local.name))
            for proc in self.kernel.procs
            for local in proc.locals
        )

    def windows(self, callee: Proc, windows: tuple[Window, ...]) -> dict[str, BoundWindow]:
        """The callee's buffers by name."""
        bound = {
            param.name: BoundWindow(window.buffer, window.offsets)
            for param, window in zip(callee.params, windows, strict=True)
        }
        for local in callee.locals:
            origin = (index(0),) * len(local.shape)
            bound[local.name] = BoundWindow(_own_name(callee.name, local.name), origin)
        return bound

    def _defined(self, name: str) -> Proc:
        for proc in self.kernel.procs:
            if proc.name == name:
                return proc
        extern = self.extern(name)
        if extern is not None:
            return touching(extern)
        if name in INSTRUCTIONS:
            return INSTRUCTIONS[name].semantics
        raise VerifyError(f"kernel '{self.kernel.name}': nothing is called '{name}'")

    def _renamed(self, proc: Proc) -> Proc:
        scalars = tuple(_own_name(proc.name, scalar) for scalar in proc.scalars)
        values: dict[str, Expr] = {
            old: Var(INDEX, new) for old, new in zip(proc.scalars, scalars, strict=True)
        }
        body = substitute_block(copy_block(proc.body, self._names), values)
        return replace(proc, body=body, scalars=scalars)


def _own_name(callee: str, name: str) -> str:
    return f"{callee}@{name}"
