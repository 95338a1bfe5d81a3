"""Compile IR text or an ONNX model, run it once, and print or save the results.

  mlir-lite run model.mlir --input x=x.npy --output results
  mlir-lite run model.onnx --random-inputs 0 --shape x=1x3x48x192
"""

from __future__ import annotations

import io
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..driver import compile as compile_function
from ..errors import InputError, check
from ..ir import results_of
from ..passes.manager import sample_inputs
from ..text import table
from ..types import Array, dtype_of
from .compile import add_compile_arguments, winograd
from .files import write_atomically
from .layout import seconds_text
from .model import (
    Loaded,
    add_model_arguments,
    load_model,
    natural,
    pairs,
    positive,
    read_array,
    require_static,
)


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    add_compile_arguments(parser)
    parser.add_argument(
        "--input", action="append", default=[], metavar="NAME=FILE.npy",
        help="an input's array; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--random-inputs", type=natural, metavar="SEED",
        help="make up the inputs that are not given: normal floats, integers 0 and 1",
    )  # fmt: skip
    parser.add_argument("--threads", type=positive, metavar="N", help="threads to run with")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="save each result as DIR/NAME.npy"
    )


def run(args: Namespace) -> int:
    given = {name: read_array(file) for name, file in pairs(args.input, "--input").items()}
    sizes, values = pairs(args.shape, "--shape"), pairs(args.value, "--value")
    loaded = load_model(args.file, sizes, values, given)
    require_static(loaded.function)
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)  # a long run is not to end in an error
    arrays = inputs_for(loaded, given, args.random_inputs)
    executable = compile_function(
        loaded.function,
        args.target,
        args.threads,
        verify=args.verify,
        winograd=winograd(args),
        strassen=args.strassen,
        precision=args.precision,
        tune=args.tune,
    )
    start = time.perf_counter()
    results = results_of(executable(*arrays))
    took = time.perf_counter() - start
    rows = [_row(name, array) for name, array in zip(loaded.outputs, results, strict=True)]
    head = ("result", "type", "smallest", "mean", "largest")
    print(table([head, *rows], right=(2, 3, 4), indent=""))
    total = sum(executable.compile_seconds.values())
    print(f"\ncompiled in {seconds_text(total)}, ran in {seconds_text(took)}")
    if args.output is not None:
        _save(args.output, dict(zip(loaded.outputs, results, strict=True)))
    return 0


def inputs_for(loaded: Loaded, given: Mapping[str, Array], seed: int | None) -> list[Array]:
    """An array for each parameter in order: the one given, else one made up from the seed."""
    fn = loaded.function
    files_names = {param: name for name, param in loaded.names.items()}
    arrays = dict(zip(fn.params, sample_inputs(fn, seed or 0), strict=True))
    for param in fn.params:
        name = files_names[param.name]
        if name in given:
            arrays[param] = given[name]
        else:
            check(
                seed is not None,
                f"the input '{name}', {param.type}, is missing: give --input {name}=FILE.npy, "
                "or --random-inputs 0 for made-up inputs",
                InputError,
            )
    return list(arrays.values())


def _row(name: str, array: Array) -> tuple[str, ...]:
    shape = "x".join([*map(str, array.shape), str(dtype_of(array))])
    if not array.size:
        return name, f"tensor<{shape}>", "", "", ""
    wide = array.astype(np.float64)
    return name, f"tensor<{shape}>", f"{wide.min():.6g}", f"{wide.mean():.6g}", f"{wide.max():.6g}"


def _save(folder: Path, results: Mapping[str, Array]) -> None:
    for name, array in results.items():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        # ONNX names may hold what a file name must not.
        safe = "".join(char if char.isalnum() or char in "._-" else "_" for char in name)
        path = folder / f"{safe}.npy"
        write_atomically(path, buffer.getvalue())
        print(f"saved {path}")
