"""Arrays of other libraries on the card, as they offer themselves by DLPack."""

from __future__ import annotations

from typing import Any

from mlir_lite.types import Array


class Foreign:
    """Another library's array on the card: NumPy's capsule, and the streams that asked for it."""

    def __init__(self, array: Array, device: tuple[int, int] = (2, 0)) -> None:
        self.array, self.device = array, device
        self.streams: list[int | None] = []
        self.versions: list[object] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: int | None = None, max_version: object = None) -> object:
        self.streams.append(stream)
        self.versions.append(max_version)
        return self.array.__dlpack__()


class Old(Foreign):
    """One from before versions."""

    def __dlpack__(self, *, stream: int | None = None) -> object:  # type: ignore[override]  # takes no version
        return super().__dlpack__(stream=stream)


class Versioned(Foreign):
    """One whose capsule has a version, and may be read only."""

    def __dlpack__(self, *, stream: int | None = None, max_version: object = None) -> object:
        return self.array.__dlpack__(max_version=(1, 0))


class TorchOnCard(Foreign):
    """A tensor of torch, as if it were on the card."""

    def __init__(self, tensor: Any) -> None:  # torch's are unknown to the checker
        self.tensor = tensor

    def __dlpack__(self, *, stream: int | None = None, max_version: object = None) -> object:
        return self.tensor.__dlpack__()
