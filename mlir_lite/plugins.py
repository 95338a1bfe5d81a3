"""What other packages add, by the entry points of their metadata:

    [project.entry-points."mlir_lite.passes"]
    drop-dropout = "my_package.passes:drop_dropout"

    [project.entry-points."mlir_lite.backends"]
    npu = "my_package.backend:NpuBackend"

They are looked for only where a name is none of ours, or all are listed: to read the metadata of
every installed package takes longer than a small compilation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import InputError, check

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PASSES, BACKENDS = "mlir_lite.passes", "mlir_lite.backends"
_KINDS = {PASSES: "pass", BACKENDS: "backend"}


@dataclass(frozen=True)
class PlugIn:
    """An entry point of ours in another package; it is imported by `load`."""

    group: str
    entry: EntryPoint

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def package(self) -> str:
        """The distribution and its version, as pip lists them."""
        found = self.entry.dist
        return f"{found.name} {found.version}" if found is not None else self.entry.value

    def load(self) -> Callable[..., Any]:
        """The function or class; `InputError` names the package where there is none."""
        what = f"the {_KINDS[self.group]} '{self.name}' of the package '{self.package}'"
        try:
            found = self.entry.load()
        except Exception as error:  # whatever a package raises when it is imported
            raise InputError(
                f"{what} does not load from '{self.entry.value}': {type(error).__name__}: {error}"
            ) from error
        check(callable(found), f"{what} is no function: '{self.entry.value}'", InputError)
        return found  # type: ignore[no-any-return]  # an entry point may be anything


def plug_ins(group: str) -> tuple[PlugIn, ...]:
    """All of a group that are installed, by name and package."""
    from importlib.metadata import entry_points  # lazy: it costs more than all of this

    found = (PlugIn(group, entry) for entry in entry_points(group=group))
    return tuple(sorted(found, key=lambda plug_in: (plug_in.name, plug_in.package)))


def plug_in(group: str, name: str) -> PlugIn | None:
    """The one of this name, or None; `InputError` where several packages have one."""
    found = [each for each in plug_ins(group) if each.name == name]
    packages = " and ".join(f"'{each.package}'" for each in found)
    several = f"{packages} both have a {_KINDS[group]} '{name}': uninstall one of them"
    check(len(found) < 2, several, InputError)
    return found[0] if found else None


def clash(plug_in: PlugIn, known: Collection[str]) -> str:
    """Why a plug-in is not to be had under its name; empty where it is."""
    if plug_in.name not in known:
        return ""
    kind = _KINDS[plug_in.group]
    return f"the {kind} '{plug_in.name}' of '{plug_in.package}' is hidden by mlir-lite's own"
