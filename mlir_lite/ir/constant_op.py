"""The one operation that the IR itself knows, because binding a parameter makes it."""

from __future__ import annotations

from ..types import Array, TensorType
from .constant import ConstantData
from .op import Op, op
from .value import Scalar


@op
class Constant(Op):
    """A tensor known when the program is built. It has no body: its data is bound to memory."""

    value: ConstantData

    def infer(self) -> TensorType:
        return self.value.type

    def reference(self) -> Array:
        return self.value.array()

    @property
    def number(self) -> Scalar | None:
        """The value of a constant of one element, as the Python number of its kind."""
        if self.value.type.elements != 1:
            return None
        element = self.value.array().reshape(())
        match self.value.type.dtype.kind:
            case "f":
                return float(element)
            case "b":
                return bool(element)
        return int(element)
