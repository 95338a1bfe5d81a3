"""The problem of a 3×3 convolution of unit stride, of which the cost models ask."""

from __future__ import annotations

from dataclasses import dataclass

TAPS = 9


@dataclass(frozen=True)
class ConvSizes:
    """Sizes of a 3×3 convolution of unit stride: its results' and its channels."""

    batch: int
    height: int
    width: int
    inner: int
    outer: int

    @property
    def pixels(self) -> int:
        """Of all results."""
        return self.batch * self.height * self.width

    def tiles(self, side: int) -> int:
        """The tiles of `side` × `side` results that cover all images."""
        return self.batch * -(-self.height // side) * -(-self.width // side)

    def __str__(self) -> str:
        pixels = f"{self.batch}x{self.height}x{self.width}"
        return f"conv 3x3 {pixels} {self.inner}->{self.outer} f32"
