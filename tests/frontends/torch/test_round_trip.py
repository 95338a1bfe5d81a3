"""Operations as torch has them and back: `ml.from_torch(ml.to_torch(fn))` computes the same."""

from __future__ import annotations

import pytest
from exporters.test_torch import COMPARED, exported
from ops.close import assert_close
from ops.sample import Sample

import mlir_lite as ml
from mlir_lite.exporters.torch.arrays import tensor_of
from mlir_lite.ir import results_of

# Torch's own exporter warns of its own types; it takes a third of a second for each.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# Loops and branches that torch does not trace, and two operators without a reader.
_ONE_WAY = {"cond", "while_loop", "conv_weight_gradient", "pinv"}
SAMPLES = [sample for sample in COMPARED if sample.op.name not in _ONE_WAY]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_operations_come_back_from_torch(sample: Sample) -> None:
    fn = exported(sample)
    back = ml.from_torch(ml.to_torch(fn), *map(tensor_of, sample.arrays))
    found = sample.form(results_of(ml.evaluate(back, *sample.arrays)))
    assert_close(found, sample.form(results_of(ml.evaluate(fn, *sample.arrays))))
