"""autodiff: a function becomes that of its derivatives.

    func @f(%x: tensor<3xf32>) -> tensor<f32> {
      %0 = square %x : tensor<3xf32>
      %1 = sum %0 {axes = [0]} : tensor<f32>
      return %1
    }

gets, after it, by `canonicalize` made short,

      %2 = constant {value = dense<2.0> : tensor<f32>} : tensor<f32>
      %3 = broadcast %2 {shape = [3]} : tensor<3xf32>
      %4 = multiply %3, %x : tensor<3xf32>
      return %1, %4
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..dsl.derivatives import Names, grad, jvp, value_and_grad, vjp
from ..errors import InputError, check
from ..ir import Function

MODES: Mapping[str, Callable[[Function, Names], Function]] = MappingProxyType(
    {"grad": grad, "jvp": jvp, "value-and-grad": value_and_grad, "vjp": vjp}
)


def autodiff(fn: Function, *, wrt: str = "", mode: str = "value-and-grad") -> Function:
    """The derivatives with respect to the parameters `wrt` (`w+b`; by default all of floats), as
    `mode` says: grad, value-and-grad, vjp, jvp."""
    check(mode in MODES, f"there is no mode '{mode}'; there are {', '.join(MODES)}", InputError)
    return MODES[mode](fn, wrt.split("+") if wrt else None)
