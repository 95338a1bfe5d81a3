"""The floors, of the package and inside of large rooms: modules import from below, or their own."""

import ast
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import mlir_lite

PACKAGE = Path(mlir_lite.__file__).parent
Floors: TypeAlias = tuple[frozenset[str], ...]
ROOMS: Floors = (
    frozenset({"environment", "errors", "forks", "lexer", "location", "markup"})
    | frozenset({"other_names", "plugins", "text"}),
    frozenset({"sizes", "types", "type_parser", "memory"}),
    frozenset({"expr", "target", "tuning"}),
    frozenset({"tile"}),
    frozenset({"ir"}),
    frozenset({"ops"}),
    frozenset({"dsl", "interpreter"}),
    frozenset({"passes"}),
    frozenset({"backends"}),
    frozenset(
        {"__init__", "__main__", "cli", "compilation", "demo", "drawing", "driver", "exporters"}
        | {"frontends"}
        | {"lowering", "options", "report", "summary", "train", "tuner", "warm"}
    ),
)
OPS: Floors = (
    frozenset({"base"}),
    frozenset({"elementwise", "kernels"}),
    frozenset({"shapes"}),
    frozenset({"reductions"}),
    frozenset({"products", "random", "sorting", "windows"}),
    frozenset({"algorithms", "images", "linalg", "nn", "regions", "sparse"}),
    frozenset({"table"}),
    frozenset({"__init__"}),
)
PASSES: Floors = (
    frozenset({"regions", "schedule"}),
    frozenset({"autodiff", "decompose", "inline_checkpoints", "loops", "program"}),
    frozenset({"lowering"}),
    frozenset({"fusion", "memory", "simplify"}),
    frozenset({"algorithms", "layouts"}),
    frozenset({"narrowing"}),
    frozenset({"pipelines"}),
    frozenset({"manager"}),
    frozenset({"__init__", "dump"}),
)
SCHEDULE: Floors = (
    frozenset({"cost"}),
    frozenset({"analysis"}),
    frozenset({"loops"}),
    frozenset({"elementwise", "reductions"}),
    frozenset({"external", "fused", "memory_bound", "ordered", "products", "straight_line"})
    | {"stream", "taps", "transposed", "windows"},
    frozenset({"rows", "single"}),
    frozenset({"blocked", "separable"}),
    frozenset({"recipes", "gpu"}),
    frozenset({"launches"}),
    frozenset({"__init__"}),
)
LLVM: Floors = (
    frozenset({"machine", "text"}),
    frozenset({"math"}),
    frozenset({"scalars"}),
    frozenset({"kernels", "pool"}),
    frozenset({"host", "program", "weights"}),
    frozenset({"entry", "image"}),
    frozenset({"executable"}),
    frozenset({"backend"}),
    frozenset({"__init__", "ceilings"}),
)
CUDA: Floors = (
    frozenset({"code", "source"}),
    frozenset({"card"}),
    frozenset({"executable"}),
    frozenset({"__init__", "backend"}),
)
ONNX: Floors = (
    frozenset({"definitions", "fit", "refusals", "weights", "wire"}),
    frozenset({"model", "sizes"}),
    frozenset({"call"}),
    frozenset({"readers"}),
    frozenset({"table"}),
    frozenset({"importer"}),
    frozenset({"onnx_model"}),
    frozenset({"__init__"}),
)
TORCH: Floors = (
    frozenset({"forms", "places", "refusals", "shapes"}),
    frozenset({"promote", "watches", "weights"}),
    frozenset({"readers"}),
    frozenset({"table"}),
    frozenset({"importer"}),
    frozenset({"graphs", "partition", "program"}),
    frozenset({"dynamo"}),
    frozenset({"__init__"}),
)
FLOORS: Mapping[str, Floors] = {
    "mlir_lite": ROOMS,
    "mlir_lite.ops": OPS,
    "mlir_lite.passes": PASSES,
    "mlir_lite.passes.schedule": SCHEDULE,
    "mlir_lite.frontends.onnx": ONNX,
    "mlir_lite.frontends.torch": TORCH,
    "mlir_lite.backends.llvm": LLVM,
    "mlir_lite.backends.cuda": CUDA,
}


def floor(room: str, floors: Floors = ROOMS) -> int:
    """The floor of a room; -1 for one that the table lacks."""
    return next((number for number, rooms in enumerate(floors) if room in rooms), -1)


def room_in(package: str, name: str) -> str | None:
    """The room of a package that a dotted name is of; None for what is not in the package."""
    inside = name.removeprefix(f"{package}.")
    return None if inside == name else inside.split(".")[0]


def imports(module: str, is_package: bool, source: str) -> Iterator[tuple[ast.stmt, str, bool]]:
    """Each import of a module: the statement, the absolute dotted name, whether it is relative."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            found = [*base, *filter(None, [node.module])]
            yield from ((node, ".".join([*found, a.name]), node.level > 0) for a in node.names)


def violations(module: str, is_package: bool, source: str) -> list[str]:
    """What is wrong with a module's imports, as `module:line: what`."""
    wrong: list[str] = []
    for package, floors in FLOORS.items():
        room = room_in(package, f"{module}.__init__" if is_package else module)
        if room is None:
            continue
        if floor(room, floors) < 0:
            return [f"{module}:1: '{room}' has no floor; give it one in FLOORS"]
        for statement, name, is_relative in imports(module, is_package, source):
            found = room_in(package, name)
            if found is None:
                continue
            where = f"{module}:{statement.lineno}: {name}"
            if not is_relative:
                wrong.append(f"{where} is not imported relatively")
            elif floor(found, floors) < 0:
                wrong.append(f"{where} is a name from {package} itself")
            elif floor(found, floors) > floor(room, floors):
                wrong.append(f"{where} is on a floor above")
    return wrong


def modules() -> Iterator[tuple[str, bool, Path]]:
    """The package's modules; `passes` and `backends` are reached through links."""
    for folder, _, names in os.walk(PACKAGE, followlinks=True):
        for name in sorted(names):
            if name.endswith(".py"):
                path = Path(folder, name)
                parts = ("mlir_lite", *path.relative_to(PACKAGE).with_suffix("").parts)
                is_package = parts[-1] == "__init__"
                yield ".".join(parts[:-1] if is_package else parts), is_package, path


def test_every_module_imports_from_floors_below() -> None:
    wrong = [
        line
        for module, is_package, path in modules()
        for line in violations(module, is_package, path.read_text())
    ]
    assert not wrong, "\n".join(wrong)


def test_all_rooms_are_walked() -> None:
    walked = {module.split(".")[1] for module, _, _ in modules() if "." in module}
    assert {"types", "expr", "tile", "ir", "ops", "dsl", "passes", "backends"} <= walked


def test_an_import_from_above_is_found() -> None:
    source = "from ..types import f32\nfrom ..dsl.nn import Linear\n"
    assert violations("mlir_lite.ir.value", False, source) == [
        "mlir_lite.ir.value:2: mlir_lite.dsl.nn.Linear is on a floor above"
    ]


def test_an_import_from_a_higher_room_of_a_package_is_found() -> None:
    source = "from ..nn.softmax import softmax\nfrom ..base.promote import as_value\n"
    assert violations("mlir_lite.ops.shapes.slice", False, source) == [
        "mlir_lite.ops.shapes.slice:1: mlir_lite.ops.nn.softmax.softmax is on a floor above"
    ]


def test_a_room_without_a_floor_is_found() -> None:
    (line,) = violations("mlir_lite.attic", False, "")
    assert "'attic' has no floor" in line


def test_a_name_from_the_package_itself_is_found() -> None:
    source = "from .. import relu\n"
    assert violations("mlir_lite.dsl.function", False, source) == [
        "mlir_lite.dsl.function:1: mlir_lite.relu is a name from mlir_lite itself"
    ]


def test_an_absolute_import_is_found() -> None:
    source = "import mlir_lite.types\n"
    assert violations("mlir_lite.passes.fusion.fuse", False, source) == [
        "mlir_lite.passes.fusion.fuse:1: mlir_lite.types is not imported relatively"
    ]
