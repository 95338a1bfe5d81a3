"""Factors as cards multiply them where `precision="tf32"`: rounded to ten bits after the first
once, where they are computed, and read like that by every product.

    %y = barrier (tf32 %x);  %z = matmul (tf32_cut %y), %w
"""

from __future__ import annotations

from ...errors import check
from ...ir import op
from ...types import TensorType, f32
from ..base.elements import UnaryFunction, unary


@op
class _OfFloats(UnaryFunction):
    def infer(self) -> TensorType:
        check(self.x.dtype == f32, f"{self.name} is for f32, not {self.x.type}")
        return self.x.type


@op
class Tf32(_OfFloats):
    """The nearest number with 10 bits after its first, halves away from zero; infinities and NaN
    as they are."""

    function = "tf32"


@op
class Tf32Cut(_OfFloats):
    """A number cut off after 10 bits, as a card's products read it: of what `tf32` gave, itself."""

    function = "tf32_cut"


tf32 = unary(Tf32)
tf32_cut = unary(Tf32Cut)

OPS = (Tf32, Tf32Cut)
