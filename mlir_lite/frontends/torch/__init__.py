"""Models of PyTorch as functions.

    fn = ml.from_torch(model, images)                   # what torch.export.export traces
    run = ml.compile(fn)
    y = run(images)                                     # tensors or arrays in, arrays out

    fast = torch.compile(model, backend="mlir_lite")    # tensors in and out

The modules of this package load torch, which takes a second, so that this one does not load them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from ...errors import missing_extra
from ...ir import Function


# torch's modules, exported programs and trees of sizes have no static types here.
def from_torch(
    model: Any,
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    strict: bool = False,
) -> Function:
    """The function of a module of torch, traced on example inputs, or of an exported program.

    `inputs` and `kwargs` are what the module is called with; `dynamic_shapes` says as it does for
    `torch.export.export` which of their sizes stay open, and a `torch.export.Dim` gives such a size
    its name; `strict` lets torch's own reader of Python trace. `model` may also be a
    `torch.export.ExportedProgram` or the path of one that `torch.export.save` wrote.

    Parameters of the function are the input tensors in the order of torch's pytrees, by the names
    of the arguments; its results are the tensors of what the module gives, in that order too.
    Compiled, it gives them in the module's own form, as a dictionary or a registered dataclass. The
    weights are constants: torch's own memory, not copied. Operations know the line of the model.

    Raises `UnsupportedError` with every operator that cannot be read, or for a module that changes
    its own buffers (`model.eval()` helps most), and `MissingExtraError` without torch.
    """
    try:
        import_module("torch")
    except ImportError:
        raise missing_extra("torch", "torch") from None
    program = import_module(".program", __package__)
    fn: Function = program.function_of(model, inputs, kwargs or {}, dynamic_shapes, strict)
    return fn


def backend(graph: Any, inputs: Sequence[Any], **options: Any) -> Any:
    """`torch.compile(model, backend="mlir_lite")`: torch's graphs compiled here.

    `options` are those of `ml.compile`, and `freeze`: while no gradients are asked for, weights are
    constants, packed once, and packed again when one has changed, through `.data` too. Memory that
    is not torch's alone, as NumPy's or that of a file, may change unseen: such weights are read at
    every call, unless `options={"freeze": "all"}` makes constants of them too, which change only as
    torch counts it; `options={"freeze": False}` reads all of them at every call.

    What is not supported torch runs itself, with a warning that names the operators and their
    lines.
    """
    given = {"freeze": True, **options.pop("options", {}), **options}
    return import_module(".dynamo", __package__).compile_graph(graph, inputs, **given)


__all__ = ["backend", "from_torch"]
