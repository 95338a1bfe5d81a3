"""Model files with weights and activations of eight bits, by onnxruntime's own quantiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mlir_lite.types import Array


def quantise(model: Path, inputs: Mapping[str, Array]) -> None:
    """Replace a file by its QDQ form: u8 activations, i8 weights with a scale a channel, ranges as
    these inputs have them."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Once(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        """Gives the inputs one time."""

        def __init__(self) -> None:
            self._given: Iterator[Mapping[str, Array]] = iter((inputs,))

        def get_next(self) -> Mapping[str, Array] | None:
            return next(self._given, None)

    quantised = model.with_suffix(".int8")
    quantize_static(
        str(model), str(quantised), Once(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    quantised.replace(model)
