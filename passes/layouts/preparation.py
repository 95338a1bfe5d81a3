"""The constants of a program as a function of those it was given: how each packed weight is made.

    func @prepare() -> (tensor<48x768x64xf32>, ..) {
      %0 = constant {value = resource<w>} : tensor<768x3072xf32>
      %1 = pack_columns %0 {width = 64} : tensor<48x768x64xf32>
      return %1, ..
    }
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir import Builder, Constant, ConstantData, Function, Value
from ...ops.base.constant import constant
from ...ops.table import TABLE
from ..simplify.computed import Computed, data_of


def preparation(constants: Sequence[ConstantData]) -> Function:
    """A function without parameters that gives these constants, operations recorded by
    `constant_fold` written out."""
    builder = Builder(TABLE)
    made: dict[object, Value] = {}

    def value_of(data: ConstantData) -> Value:
        match data.source:
            case Computed(op=op, position=position):
                results = builder.emit(op.map_operands(operand))
                return results[position]
        if id(data.source) not in made:
            made[id(data.source)] = constant(data)
        return made[id(data.source)]

    def operand(value: Value) -> Value:
        if isinstance(value.op, Constant):
            return value_of(value.op.value)
        assert value.op is not None  # a repetition of a constant
        (result,) = builder.emit(value.op.map_operands(operand))
        return result

    with builder.active():
        results = [value_of(data) for data in constants]
    return builder.finish("prepare", (), results)


def prepared(fn: Function) -> tuple[ConstantData, ...]:
    """The constants that such a function gives, each computed when it is read."""
    values: dict[Value, Value] = {}
    with Builder(TABLE).active():
        for node in fn.nodes:
            op = node.op.map_operands(values.__getitem__)
            for place, result in enumerate(node.results):
                data = (
                    op.value
                    if isinstance(op, Constant)
                    else ConstantData(result.type, Computed(op, place))
                )
                values[result] = constant(data)
    return tuple(data_of(values[result]) for result in fn.results)
