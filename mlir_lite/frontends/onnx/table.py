"""Which reader reads an operator, by the version in which it took its present form.

A version that is not listed, an older or a newer one, is not supported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ... import ops
from .call import Reader
from .readers import (
    constant,
    control,
    index,
    math,
    nn,
    norm,
    old,
    pool,
    quantised,
    random,
    reduction,
    resize,
    rnn,
    sampled,
    shape,
    signal,
)
from .sizes import maximum, minimum


def _versions(reader: Reader, *versions: int) -> dict[int, Reader]:
    return dict.fromkeys(versions, reader)


def _aligned(reader: Reader, old_versions: Sequence[int], *versions: int) -> Mapping[int, Reader]:
    """In the old versions an attribute says with which axes the second operand goes."""
    return _versions(old.aligned(reader), *old_versions) | _versions(reader, *versions)


_ELEMENTWISE: Mapping[str, Mapping[int, Reader]] = {
    "Abs": _versions(math.unary(ops.absolute), 1, 6, 13),
    "Acos": _versions(math.unary(ops.arccos), 7, 22),
    "Acosh": _versions(math.unary(ops.arccosh), 9, 22),
    "Add": _aligned(math.binary(ops.add, math.add_sizes), (1, 6), 7, 13, 14),
    "And": _aligned(math.binary(ops.bitwise_and, math.both), (1,), 7),
    "Asin": _versions(math.unary(ops.arcsin), 7, 22),
    "Asinh": _versions(math.unary(ops.arcsinh), 9, 22),
    "Atan": _versions(math.unary(ops.arctan), 7, 22),
    "Atanh": _versions(math.unary(ops.arctanh), 9, 22),
    "BitShift": _versions(math.bit_shift, 11, 28),
    "BitwiseAnd": _versions(math.binary(ops.bitwise_and), 18),
    "BitwiseNot": _versions(math.unary(ops.bitwise_not), 18),
    "BitwiseOr": _versions(math.binary(ops.bitwise_or), 18),
    "BitwiseXor": _versions(math.binary(ops.bitwise_xor), 18),
    "Cast": {
        **_versions(old.cast, 1),
        **_versions(math.cast, 6, 9, 13, 19, 21, 23, 24, 25, 28),
    },
    "CastLike": _versions(math.cast_like, 15, 19, 21, 23, 24, 25),
    "Ceil": _versions(math.unary(ops.ceil), 1, 6, 13),
    "Celu": _versions(math.CELU, 12, 28),
    "Clip": _versions(math.clip, 1, 6, 11, 12, 13),
    "Cos": _versions(math.unary(ops.cos), 7, 22),
    "Cosh": _versions(math.unary(ops.cosh), 9, 22),
    "Det": _versions(math.unary(ops.linalg.det), 11, 22),
    "Div": _aligned(math.DIVIDE, (1, 6), 7, 13, 14),
    "Elu": _versions(math.ELU, 1, 6, 22),
    "Equal": _aligned(math.EQUAL, (1,), 7, 11, 13, 19),
    "Erf": _versions(math.unary(ops.erf), 9, 13),
    "Exp": _versions(math.unary(ops.exp), 1, 6, 13),
    "Floor": _versions(math.unary(ops.floor), 1, 6, 13),
    "Gelu": _versions(math.gelu, 20),
    "Greater": _aligned(math.GREATER, (1,), 7, 9, 13),
    "GreaterOrEqual": _versions(math.GREATER_EQUAL, 12, 16),
    "HardSigmoid": _versions(math.HARD_SIGMOID, 1, 6, 22),
    "HardSwish": _versions(math.unary(ops.hard_swish), 14, 22),
    "IsInf": _versions(math.is_inf, 10, 20),
    "IsNaN": _versions(math.unary(ops.isnan), 9, 13, 20),
    "LeakyRelu": _versions(math.LEAKY_RELU, 1, 6, 16),
    "Less": _aligned(math.LESS, (1,), 7, 9, 13),
    "LessOrEqual": _versions(math.LESS_EQUAL, 12, 16),
    "Log": _versions(math.unary(ops.log), 1, 6, 13),
    "Max": _versions(math.variadic(ops.maximum, maximum), 1, 6, 8, 12, 13),
    "Mean": _versions(math.mean, 1, 6, 8, 13),
    "Min": _versions(math.variadic(ops.minimum, minimum), 1, 6, 8, 12, 13),
    "Mish": _versions(math.unary(ops.mish), 18, 22),
    "Mod": _versions(math.mod, 10, 13, 28),
    "Mul": _aligned(math.binary(ops.multiply, math.multiply_sizes), (1, 6), 7, 13, 14),
    "Neg": _versions(math.negative, 1, 6, 13),
    "Not": _versions(math.logical_not, 1),
    "Or": _aligned(math.binary(ops.bitwise_or, math.either), (1,), 7),
    "PRelu": {
        **_versions(old.prelu, 1, 6),
        **_versions(math.binary(ops.prelu), 7, 9, 16),
    },
    "Pow": _aligned(math.power, (1,), 7, 12, 13, 15),
    "Reciprocal": _versions(math.unary(ops.reciprocal), 1, 6, 13),
    "Relu": _versions(math.unary(ops.relu), 1, 6, 13, 14),
    "Round": _versions(math.unary(ops.round), 11, 22),
    "Selu": _versions(math.SELU, 1, 6, 22),
    "Shrink": _versions(math.SHRINK, 9),
    "Sigmoid": _versions(math.unary(ops.sigmoid), 1, 6, 13),
    "Sign": _versions(math.unary(ops.sign), 9, 13),
    "Sin": _versions(math.unary(ops.sin), 7, 22),
    "Sinh": _versions(math.unary(ops.sinh), 9, 22),
    "Softplus": _versions(math.unary(ops.softplus), 1, 22),
    "Softsign": _versions(math.unary(ops.softsign), 1, 22),
    "Sqrt": _versions(math.unary(ops.sqrt), 1, 6, 13),
    "Sub": _aligned(math.binary(ops.subtract, math.subtract_sizes), (1, 6), 7, 13, 14),
    "Sum": _versions(math.variadic(ops.add, math.add_sizes), 1, 6, 8, 13),
    "Swish": _versions(math.swish, 24),
    "Tan": _versions(math.unary(ops.tan), 7, 22),
    "Tanh": _versions(math.unary(ops.tanh), 1, 6, 13),
    "ThresholdedRelu": _versions(math.THRESHOLDED_RELU, 10, 22),
    "Where": _versions(math.where, 9, 16),
    "Xor": _aligned(math.binary(ops.bitwise_xor), (1,), 7),
}

_SHAPES: Mapping[str, Mapping[int, Reader]] = {
    "Compress": _versions(index.compress, 9, 11, 28),
    "Concat": _versions(shape.concat, 1, 4, 11, 13),
    "Constant": _versions(constant.constant, 1, 9, 11, 12, 13, 19, 21, 23, 24, 25),
    "ConstantOfShape": _versions(constant.constant_of_shape, 9, 20, 21, 23, 24, 25),
    "DepthToSpace": _versions(nn.depth_to_space, 1, 11, 13, 28),
    "Dropout": _versions(shape.dropout, 1, 6, 7, 10, 12, 13, 22),
    "Expand": _versions(shape.expand, 8, 13),
    "EyeLike": _versions(index.eye_like, 9, 22),
    "Flatten": _versions(shape.flatten, 1, 9, 11, 13, 21, 23, 24, 25),
    "Gather": _versions(index.gather, 1, 11, 13),
    "GatherElements": _versions(index.gather_elements, 11, 13),
    "GatherND": _versions(index.gather_nd, 11, 12, 13),
    "Identity": _versions(shape.identity, 1, 13, 14, 16, 19, 21, 23, 24, 25),
    "If": _versions(control.conditional, 1, 11, 13, 16, 19, 21, 23, 24, 25),
    "Loop": _versions(control.loop, 1, 11, 13, 16, 19, 21, 23, 24, 25),
    "NonZero": _versions(index.non_zero, 9, 13),
    "OneHot": _versions(index.one_hot, 9, 11, 28),
    "Pad": {
        **_versions(old.pad, 1),
        **_versions(shape.pad, 2, 11, 13, 18, 19, 21, 23, 24, 25),
    },
    "Range": _versions(constant.range_, 11, 27),
    "Reshape": {
        **_versions(old.reshape, 1),
        **_versions(shape.reshape, 5, 13, 14, 19, 21, 23, 24, 25),
    },
    "Resize": _versions(resize.resize, 10, 11, 13, 18, 19),
    "ReverseSequence": _versions(index.reverse_sequence, 10, 28),
    "Scatter": _versions(index.scatter_elements, 9),
    "ScatterElements": _versions(index.scatter_elements, 11, 13, 16, 18),
    "ScatterND": _versions(index.scatter_nd, 11, 13, 16, 18),
    "Shape": _versions(shape.shape, 1, 13, 15, 19, 21, 23, 24, 25),
    "Size": _versions(shape.size, 1, 13, 19, 21, 23, 24, 25),
    "Slice": _versions(shape.slice_, 1, 10, 11, 13),
    "SpaceToDepth": _versions(nn.space_to_depth, 1, 13, 28),
    "Split": _versions(shape.split, 1, 2, 11, 13, 18),
    "Squeeze": _versions(shape.squeeze, 1, 11, 13, 21, 23, 24, 25),
    "TensorScatter": _versions(index.tensor_scatter, 24),
    "Tile": {
        **_versions(old.tile, 1),
        **_versions(shape.tile, 6, 13),
    },
    "TopK": _versions(index.top_k, 1, 10, 11, 24),
    "Transpose": _versions(shape.transpose, 1, 13, 21, 23, 24, 25),
    "Trilu": _versions(index.trilu, 14),
    "Unsqueeze": _versions(shape.unsqueeze, 1, 11, 13, 21, 23, 24, 25),
    "Upsample": {
        **_versions(old.upsample, 1),
        **_versions(resize.upsample, 7, 9),
    },
}

_REDUCTIONS: Mapping[str, Mapping[int, Reader]] = {
    "ArgMax": _versions(reduction.argmax, 1, 11, 12, 13),
    "ArgMin": _versions(reduction.argmin, 1, 11, 12, 13),
    "CumProd": _versions(reduction.running(ops.cumprod), 26),
    "CumSum": _versions(reduction.running(ops.cumsum), 11, 14),
    "Hardmax": _versions(reduction.HARDMAX, 1, 11, 13),
    "LogSoftmax": _versions(reduction.LOG_SOFTMAX, 1, 11, 13),
    "ReduceL1": _versions(reduction.reduction(ops.norm_l1), 1, 11, 13, 18),
    "ReduceL2": _versions(reduction.reduction(ops.norm_l2), 1, 11, 13, 18),
    "ReduceLogSum": _versions(reduction.reduction(reduction.log_sum), 1, 11, 13, 18, 28),
    "ReduceLogSumExp": _versions(reduction.reduction(ops.logsumexp), 1, 11, 13, 18, 28),
    "ReduceMax": _versions(reduction.MAX, 1, 11, 12, 13, 18, 20),
    "ReduceMean": _versions(reduction.reduction(ops.mean), 1, 11, 13, 18),
    "ReduceMin": _versions(reduction.MIN, 1, 11, 12, 13, 18, 20),
    "ReduceProd": _versions(reduction.PROD, 1, 11, 13, 18),
    "ReduceSum": _versions(reduction.SUM, 1, 11, 13),
    "ReduceSumSquare": _versions(reduction.reduction(reduction.sum_of_squares), 1, 11, 13, 18),
    "Softmax": _versions(reduction.SOFTMAX, 1, 11, 13),
}

_LAYERS: Mapping[str, Mapping[int, Reader]] = {
    "AveragePool": _versions(pool.average_pool, 1, 7, 10, 11, 19, 22),
    "BatchNormalization": _versions(norm.batch_normalization, 1, 6, 7, 9, 14, 15),
    "Col2Im": _versions(sampled.col2im, 18),
    "Conv": _versions(nn.conv, 1, 11, 22),
    "ConvTranspose": _versions(nn.conv_transpose, 1, 11, 22),
    "GRU": _versions(rnn.GRU, 1, 3, 7, 14, 22),
    "DeformConv": _versions(sampled.deform_conv, 19, 22),
    "Einsum": _versions(nn.einsum, 12, 28),
    "Gemm": _versions(nn.gemm, 1, 6, 7, 9, 11, 13),
    "GlobalAveragePool": _versions(pool.global_average_pool, 1, 22),
    "GlobalLpPool": _versions(sampled.global_lp_pool, 1, 2, 22),
    "GlobalMaxPool": _versions(pool.global_max_pool, 1, 22),
    "GridSample": _versions(sampled.grid_sample, 16, 20, 22),
    "GroupNormalization": _versions(norm.group_normalization, 18, 21),
    "InstanceNormalization": _versions(norm.instance_normalization, 1, 6, 22),
    "LRN": _versions(norm.lrn, 1, 13),
    "LSTM": _versions(rnn.LSTM, 1, 7, 14, 22),
    "LayerNormalization": _versions(norm.layer_normalization, 17),
    "LpNormalization": _versions(norm.lp_normalization, 1, 22),
    "LpPool": _versions(pool.lp_pool, 1, 2, 11, 18, 22),
    "MatMul": _versions(nn.matmul, 1, 9, 13),
    "MaxPool": _versions(pool.max_pool, 1, 8, 10, 11, 12, 22),
    "MaxRoiPool": _versions(sampled.max_roi_pool, 1, 22),
    "MaxUnpool": _versions(sampled.max_unpool, 9, 11, 22),
    "MeanVarianceNormalization": _versions(norm.mean_variance_normalization, 9, 13),
    "RMSNormalization": _versions(norm.rms_normalization, 23),
    "RoiAlign": _versions(sampled.roi_align, 10, 16, 22),
    "RNN": _versions(rnn.RNN, 1, 7, 14, 22),
    "Scan": {
        8: control.scan_of_batches,
        **_versions(control.scan_op, 9, 11, 16, 19, 21, 23, 24, 25),
    },
}

_SPECTRA: Mapping[str, Mapping[int, Reader]] = {
    "DFT": _versions(signal.dft, 17, 20),
    "MelWeightMatrix": _versions(signal.mel_weight_matrix, 17),
    "STFT": _versions(signal.stft, 17),
}

_RANDOM: Mapping[str, Mapping[int, Reader]] = {
    "Multinomial": _versions(random.multinomial, 7, 22),
    "RandomNormal": _versions(random.NORMAL, 1, 22),
    "RandomNormalLike": _versions(random.NORMAL, 1, 22),
    "RandomUniform": _versions(random.UNIFORM, 1, 22),
    "RandomUniformLike": _versions(random.UNIFORM, 1, 22),
}

_QUANTISED: Mapping[str, Mapping[int, Reader]] = {
    "ConvInteger": _versions(quantised.conv_integer, 10),
    "DequantizeLinear": _versions(quantised.dequantize_linear, 10, 13, 19, 21, 23, 24, 25, 28),
    "DynamicQuantizeLinear": _versions(quantised.dynamic_quantize_linear, 11),
    "MatMulInteger": _versions(quantised.matmul_integer, 10),
    "QLinearConv": _versions(quantised.qlinear_conv, 10),
    "QLinearMatMul": _versions(quantised.qlinear_matmul, 10, 21),
    "QuantizeLinear": _versions(quantised.quantize_linear, 10, 13, 19, 21, 23, 24, 25, 28),
}

READERS: Mapping[str, Mapping[int, Reader]] = {
    **_ELEMENTWISE,
    **_SHAPES,
    **_REDUCTIONS,
    **_LAYERS,
    **_SPECTRA,
    **_RANDOM,
    **_QUANTISED,
}


def is_read(op_type: str, version: int) -> bool:
    """Whether there is a reader for this version of the operator."""
    return version in READERS.get(op_type, {})
