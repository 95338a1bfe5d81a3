"""Renders text, with the font that ships inside Pillow, into images for the text models."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Line:
    """A line of text, its left upper corner and font size in pixels."""

    text: str
    x: int
    y: int
    size: int

    def box(self) -> tuple[int, int, int, int]:
        """Left, upper, right, lower edge of the ink."""
        left, upper, right, lower = ImageFont.load_default(self.size).getbbox(self.text)
        return self.x + int(left), self.y + int(upper), self.x + int(right), self.y + int(lower)


def render(height: int, width: int, lines: tuple[Line, ...]) -> Grey:
    """Black on white, `[height, width]`."""
    image = Image.new("L", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for line in lines:
        draw.text((line.x, line.y), line.text, fill="black", font=ImageFont.load_default(line.size))
    return np.asarray(image)


def strip(text: str, width: int) -> Grey:
    """One line, vertically centred in a strip 48 pixels high, as recognisers take it."""
    image = Image.new("L", (width, 48), "white")
    font = ImageFont.load_default(34)
    ImageDraw.Draw(image).text((8, 24), text, fill="black", font=font, anchor="lm")
    return np.asarray(image)


def as_batch(*images: Grey) -> NDArray[np.float32]:
    """Grey images of one size -> `[N, 3, height, width]`, values -1..1."""
    scaled = np.stack(images).astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(np.repeat(scaled[:, np.newaxis], 3, axis=1))
