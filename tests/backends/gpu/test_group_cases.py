"""The products of warpgroups that a card is asked for are exact on the CPU in its place."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite import bf16, f16
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.backends.cuda.source.wrappers import WRAPPERS, needed
from mlir_lite.tile.instructions.warpgroups import GroupProduct, registers_name

from . import wrapper_cases
from .compiled import card, planned
from .group_cases import CASES, GroupCase, run_case, source_of
from .shim import needs_shim
from .shim_card import ShimCard
from .templates import attention_bf16, attention_f16

# Counts of registers that no recipe asks for; products of attention with other heads than the
# templates have.
UNASKED = {registers_name(count) for count in (24, 160, 240)} | {
    GroupProduct(dtype, columns, (False, True), held=True).name
    for dtype, columns in ((bf16, 128), (f16, 64))
}
# One of each type by default, with both factors turned where they can be.
OFTEN = {"product_bf16_64_left_right", "product_f16_128", "product_f32_256"}
EVERY = [
    pytest.param(case, id=case.name, marks=() if case.name in OFTEN else pytest.mark.slow)
    for case in CASES
]


@needs_shim
@pytest.mark.parametrize("case", EVERY)
def test_products_are_exact(case: GroupCase) -> None:
    np.testing.assert_array_equal(run_case(ShimCard(), case, card()), case.exact())


def test_every_wrapper_is_asked_of_a_card() -> None:
    texts = [source_of(CASES, card()).kernel_texts]
    for fn in (attention_bf16.usual, attention_f16.usual):
        texts.append(CudaSource.of(planned(fn, card())[0], card()).kernel_texts)
    texts += [case.kernel.source for case in wrapper_cases.CASES]
    asked = set(needed("\n".join(texts))[0])
    assert set(WRAPPERS) - asked == UNASKED
