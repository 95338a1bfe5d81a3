"""What the commands take as FILE, and the arguments that fit it: `--shape` and `--value`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..dsl.specialise import solve_sizes, specialise
from ..errors import InputError, UnsupportedError, check
from ..frontends.onnx.call import ValueNeeded
from ..frontends.onnx.model import OnnxInput
from ..frontends.onnx.onnx_model import OnnxModel
from ..frontends.torch import from_torch
from ..ir import Function
from ..types import Array, TensorType
from .files import functions_of, read_text


def add_model_arguments(parser: ArgumentParser) -> None:
    """FILE, `--shape` and `--value`."""
    parser.add_argument(
        "file", metavar="FILE", help="IR text, an .onnx or .pt2 model, or - for stdin"
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=SHAPE",
        help="an input's shape (x=1x3x48x192), or the value of a named size (batch=8); repeatable",
    )
    parser.add_argument(
        "--value",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what an input always is, where its value decides shapes: a .npy file or numbers "
        "(sizes=1,3,48); repeatable",
    )


def positive(text: str) -> int:
    """A number from 1 on, as the type of an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a number from 1 on, got '{text}'")
    return int(text)


def natural(text: str) -> int:
    """A number from 0 on, as the type of an argument."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"expected a number from 0 on, got '{text}'")
    return int(text)


@dataclass(frozen=True)
class Loaded:
    """A function read from a file, and the names of its parameters and results in that file.

    `names` gives the parameter by the file's own name of an input.
    """

    function: Function
    names: Mapping[str, str]
    outputs: tuple[str, ...]


def load(args: Namespace) -> Loaded:
    """The function of FILE, specialised to what `--shape` and `--value` say."""
    return load_model(args.file, pairs(args.shape, "--shape"), pairs(args.value, "--value"))


def load_static(args: Namespace) -> Loaded:
    """As `load`; `InputError` where a size or a value that the compiler needs is left open."""
    loaded = load(args)
    require_static(loaded.function)
    return loaded


def load_model(
    file: str,
    sizes: Mapping[str, str],
    values: Mapping[str, str],
    arrays: Mapping[str, Array] | None = None,
) -> Loaded:
    """The function of a file. `arrays` are the inputs of a run, which decide sizes and values."""
    if file.lower().endswith(".onnx"):
        return _from_onnx(Path(file), sizes, values, arrays or {})
    if file.lower().endswith(".pt2"):
        return specialised(replace(from_torch(file), form=None), sizes, values, arrays)
    found = functions_of(read_text(file), file)
    check(found, f"{file} holds no function", InputError)
    check(
        len(found) == 1,
        f"{file} holds {len(found)} functions; `mlir-lite opt --split-input-file` takes several",
        InputError,
    )
    return specialised(found[0], sizes, values, arrays)


def _from_onnx(
    path: Path, sizes: Mapping[str, str], values: Mapping[str, str], arrays: Mapping[str, Array]
) -> Loaded:
    model = OnnxModel.read(path)
    inputs = {entry.name: entry for entry in model.inputs}
    _check_known([*values, *arrays], inputs, f"{path} has no input")
    constants = {
        name: parsed_value(text, TensorType(_extents(inputs[name].shape), inputs[name].dtype))
        for name, text in values.items()
    }
    shapes = {name: array.shape for name, array in arrays.items()}
    shapes |= {name: parsed_shape(text) for name, text in sizes.items() if name in inputs}
    # To find the static inputs the model is imported once more.
    static = model.static if arrays else frozenset()
    known = {name: arrays[name] for name in static if name in arrays} | constants
    shapes = {name: shape for name, shape in shapes.items() if name not in known}
    try:
        fn = model.function(shapes, known)
    except ValueNeeded as error:
        name = min(error.inputs)
        raise UnsupportedError(f"{error}\nHere that is --value {name}=1,3") from None
    except UnsupportedError as error:
        unsaid = [entry for name, entry in inputs.items() if name not in {**shapes, **known}]
        if "import with shapes=" not in str(error) or not unsaid:
            raise
        raise UnsupportedError(f"{error}\nHere that is {_shape_example(unsaid[0])}") from None
    left = {name: text for name, text in sizes.items() if name not in inputs}
    names = {name: param for name, param in model.names.items() if name not in known}
    return Loaded(_with_sizes(fn, left), names, model.outputs)


def _shape_example(entry: OnnxInput) -> str:
    """The argument that says the shape of an input, with some number for each that is open."""
    sizes = [size if isinstance(size, int) else 8 for size in entry.shape or ()]
    return f"--shape {entry.name}={'x'.join(map(str, sizes)) or 'scalar'}"


def _extents(shape: Sequence[int | str | None] | None) -> tuple[int, ...]:
    """Stand-ins for the sizes of an input: for a value only their count matters."""
    return (1,) if shape is None else tuple(1 for _ in shape)


def specialised(
    fn: Function,
    sizes: Mapping[str, str],
    values: Mapping[str, str],
    arrays: Mapping[str, Array] | None = None,
) -> Loaded:
    """A function of IR text with the sizes and values that arguments, or arrays, give."""
    arrays = arrays or {}
    params = {param.name: param for param in fn.params}
    _check_known([*values, *arrays], params, f"@{fn.name} has no parameter")
    shapes = {name: array.shape for name, array in arrays.items()}
    shapes |= {name: parsed_shape(text) for name, text in sizes.items() if name in params}
    known = _solved(fn, shapes)
    static = {name: arrays[name] for name in fn.static if name in arrays}
    static |= {name: parsed_value(text, params[name].type) for name, text in values.items()}
    fn = _with_sizes(fn, {name: text for name, text in sizes.items() if name not in params}, known)
    fn = fn.bind(static) if static else fn
    outputs = tuple(
        f"result{place}" if len(fn.results) > 1 else "result" for place in range(len(fn.results))
    )
    return Loaded(fn, {param.name: param.name for param in fn.params}, outputs)


def _solved(fn: Function, shapes: Mapping[str, Sequence[int]]) -> Mapping[str, int]:
    """The named sizes that these shapes of parameters decide."""
    chosen = tuple(param for param in fn.params if param.name in shapes)
    partial = Function(fn.name, chosen, (), ())
    # A view of one element has any shape and costs nothing.
    stand_ins = [
        np.broadcast_to(np.zeros((), param.type.dtype.numpy), tuple(shapes[param.name]))
        for param in chosen
    ]
    return solve_sizes(partial, stand_ins)


def _with_sizes(
    fn: Function, texts: Mapping[str, str], known: Mapping[str, int] | None = None
) -> Function:
    """The function with named sizes given as text, and those known already."""
    sizes = dict(known or {})
    for name, text in texts.items():
        check(
            name in fn.sizes,
            f"@{fn.name} has neither an input nor a named size '{name}'; its inputs are "
            f"{_list(param.name for param in fn.params)}, its sizes {_list(sorted(fn.sizes))}",
            InputError,
        )
        (sizes[name],) = parsed_shape(text, rank=1)
    return specialise(fn, sizes) if sizes else fn


def require_static(fn: Function) -> None:
    """`InputError` where a named size or a static parameter is left open."""
    if fn.sizes:
        dynamic = next(param for param in fn.params if not param.type.is_static)
        raise InputError(
            f"@{fn.name} has the named sizes {_list(sorted(fn.sizes))}: say how large they are, "
            f"as in --shape {min(fn.sizes)}=8, or by the shape of %{dynamic.name}, "
            f"which is {dynamic.type}"
        )
    if fn.static:
        raise InputError(
            f"the value of {_list(sorted(fn.static))} decides shapes in @{fn.name}: "
            f"give it, as in --value {min(fn.static)}=1,3"
        )


def pairs(entries: Iterable[str], option: str) -> dict[str, str]:
    """`NAME=TEXT` entries as a mapping; `InputError` for what is none, or given twice."""
    found: dict[str, str] = {}
    for entry in entries:
        name, mark, text = entry.partition("=")
        message = f"{option} takes NAME=…, got '{entry}'"
        check(mark and name and text, message, InputError)
        check(name not in found, f"{option} gives '{name}' twice", InputError)
        found[name] = text
    return found


def parsed_shape(text: str, rank: int | None = None) -> tuple[int, ...]:
    """`1x3x48x192` or `1,3,48,192`; `InputError` for anything else."""
    parts = [] if text == "scalar" else text.replace(",", "x").split("x")
    fits = all(part.isdecimal() for part in parts) and rank in (None, len(parts))
    wanted = "a number such as 8" if rank == 1 else "a shape such as 1x3x48x192, or scalar"
    check(fits, f"expected {wanted}, got '{text}'", InputError)
    return tuple(int(part) for part in parts)


def parsed_value(text: str, type_: TensorType) -> Array:
    """An array from a .npy file or from numbers with commas, of the type's element type."""
    if text.endswith(".npy"):
        return read_array(text)
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"expected a .npy file or numbers such as 1,3, got '{text}'") from None
    array = np.array(numbers).astype(type_.dtype.numpy)
    return array.reshape(()) if type_.rank == 0 and array.size == 1 else array


def read_array(file: str) -> Array:
    """The array of a .npy file; `InputError` for what is none."""
    try:
        array: Array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{file} is no .npy file that can be read: {error}") from None
    check(isinstance(array, np.ndarray), f"{file} holds several arrays", InputError)
    return array


def _check_known(given: Iterable[str], have: Iterable[str], problem: str) -> None:
    known = list(have)
    for name in given:
        check(name in known, f"{problem} '{name}'; there are {_list(known)}", InputError)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
