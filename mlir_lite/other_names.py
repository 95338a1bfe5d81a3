"""What people type who come from NumPy, torch or JAX, and what it is here: for the error that a
name is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from .text import nearest

RENAMED: Mapping[str, str] = {
    "abs": "absolute",
    "acos": "arccos",
    "acosh": "arccosh",
    "amax": "max",
    "amin": "min",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "astype": "cast",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "avg_pool1d": "average_pool",
    "avg_pool2d": "average_pool",
    "avg_pool3d": "average_pool",
    "batchnorm": "batch_norm",
    "bfloat16": "bf16",
    "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
    "bmm": "matmul",
    "bool": "bool_",
    "broadcast_to": "broadcast",
    "cat": "concat",
    "cholesky": "linalg.cholesky",
    "chunk": "split",
    "clamp": "clip",
    "concatenate": "concat",
    "conv_general_dilated": "conv",
    "conv_transpose2d": "conv_transpose",
    "det": "linalg.det",
    "detach": "stop_gradient",
    "div": "divide",
    "dot": "matmul",
    "double": "f64",
    "eigh": "linalg.eigh",
    "empty": "zeros",
    "empty_like": "zeros_like",
    "eq": "equal",
    "expand": "broadcast",
    "expand_as": "broadcast",
    "fliplr": "flip",
    "flipud": "flip",
    "float": "f32",
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "fmax": "maximum",
    "fmin": "minimum",
    "fmod": "truncated_mod",
    "fori_loop": "scan",
    "ge": "greater_equal",
    "gt": "greater",
    "half": "f16",
    "hardshrink": "shrink",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "index_add": "scatter_nd",
    "index_select": "gather",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "int8": "i8",
    "interpolate": "resize",
    "inv": "linalg.inverse",
    "inverse": "linalg.inverse",
    "jit": "compile",
    "layernorm": "layer_norm",
    "le": "less_equal",
    "logsigmoid": "log_sigmoid",
    "lstsq": "linalg.lstsq",
    "lt": "less",
    "masked_fill": "where",
    "max_pool1d": "max_pool",
    "max_pool2d": "max_pool",
    "max_pool3d": "max_pool",
    "mm": "matmul",
    "mul": "multiply",
    "ne": "not_equal",
    "neg": "negative",
    "norm": "norm_l2",
    "permute": "transpose",
    "permute_dims": "transpose",
    "pinv": "linalg.pinv",
    "pow": "power",
    "qr": "linalg.qr",
    "rand": "random.uniform",
    "randn": "random.normal",
    "ravel": "flatten",
    "remainder": "mod",
    "remat": "checkpoint",
    "repeat_interleave": "repeat",
    "rint": "round",
    "scatter": "scatter_elements",
    "scatter_add": "scatter_elements",
    "scatter_reduce": "scatter_elements",
    "segment_sum": "scatter_nd",
    "slogdet": "linalg.slogdet",
    "smooth_l1_loss": "huber_loss",
    "softshrink": "shrink",
    "solve": "linalg.solve",
    "sub": "subtract",
    "svd": "linalg.svd",
    "swish": "silu",
    "take": "gather",
    "true_divide": "divide",
    "uint8": "u8",
    "unsqueeze": "expand_dims",
    "view": "reshape",
}

_DATA = "how much it gives depends on the data, and sizes are known before the data here; "
_MASK = f"{_DATA}keep all elements and ml.where(mask, x, other), or the first few by ml.topk"
_WRITE = (
    "write ml.scatter_nd(x, indices, rows), which is done in place where x is donated, or "
    "ml.where(mask, new, x)"
)
_PIECE = "index by a value, as in x[at], or write ml.gather(x, at + ml.arange(count), axis=0)"
_COMPLEX = "there are no complex numbers; multiply by matrices of cosines and of sines"

_OTHERS: Mapping[str, str] = MappingProxyType(
    {
        **{name: f"it is ml.{ours} here" for name, ours in RENAMED.items()},
        **dict.fromkeys(("array", "asarray", "as_tensor", "tensor"), "use the array as it is"),
        **dict.fromkeys(("nonzero", "argwhere", "unique", "masked_select", "compress"), _MASK),
        **dict.fromkeys(("fft", "rfft", "ifft", "irfft", "stft"), _COMPLEX),
        **dict.fromkeys(("hstack", "vstack"), "it is ml.concat(xs, axis) here"),
        **dict.fromkeys(("dynamic_update_slice", "index_copy", "index_put"), _WRITE),
        **dict.fromkeys(("dynamic_slice", "narrow"), _PIECE),
        "addmm": "write x @ w + b; it becomes one kernel",
        "linear": "write x @ w + b, or use ml.nn.Linear",
        "no_grad": "nothing is differentiated unless ml.grad or ml.vjp asks for it",
        "vmap": "write the function with an axis for the batch: operations broadcast over it",
    }
)


# What else is looked for in a value, and what to write.
_METHODS: Mapping[str, str] = MappingProxyType(
    {
        "at": "make a new tensor: ml.where(mask, new, x), ml.scatter_elements(x, indices, new, 0)",
        **dict.fromkeys(("contiguous", "copy", "clone", "cpu", "cuda"), "leave it out"),
        **dict.fromkeys(
            ("double", "float", "half", "int", "long", "to", "type_as"), "write x.astype(ml.f32)"
        ),
        "dim": "its number of axes is x.ndim",
        **dict.fromkeys(
            ("item", "numpy", "tolist"), "it has no numbers until the function runs: return it"
        ),
        "mT": "write ml.swapaxes(x, -1, -2)",
        **dict.fromkeys(("size", "nelement", "numel"), "its sizes are x.shape"),
        "view": "write x.reshape(…)",
    }
)


def method_advice(name: str) -> str:
    """What to write instead of an attribute that a value does not have."""
    told = _METHODS.get(name) or _OTHERS.get(name)
    return f"; {told}" if told else f"; operations are functions, as in ml.{name}(x)"


def advice(name: str, known: Iterable[str]) -> str:
    """What to write instead of a name that is not there, or the nearest of those that are."""
    told = _OTHERS.get(name)
    return f"; {told}" if told else nearest(name, known)
