"""The part of a picture that is looked at: every star lies near the bottom right, so the rest need not be unpacked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watermark.blend import Image
from watermark.outline import PAD
from watermark.slots import Box


@dataclass(frozen=True, slots=True, eq=False)
class Corner:
    """The bottom right `pixels` (h x w x 3, uint8) of a picture of `width` x `height` px. Boxes are in the picture's
    own coordinates."""

    pixels: Image
    width: int
    height: int

    @classmethod
    def whole(cls, image: Image) -> Corner:
        """All of `image`. Raises ValueError unless it is H x W x 3 of uint8."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected H x W x 3 of uint8, not {image.shape} of {image.dtype}")
        return cls(image, image.shape[1], image.shape[0])

    def cut(self, box: Box, pad: int = 0) -> Image:
        """A copy of the pixels in `box`, with `pad` px around it. Raises ValueError if it leaves the corner."""
        rows, columns = self._place(box, pad)
        return np.ascontiguousarray(self.pixels[rows, columns])

    def window(self, box: Box) -> Image:
        """The pixels in `box` with the surroundings that evidence is taken from."""
        return self.cut(box, PAD)

    def pasted(self, box: Box, patch: Image) -> Corner:
        """A copy with `patch` in `box`."""
        rows, columns = self._place(box, 0)
        pixels = self.pixels.copy()
        pixels[rows, columns] = patch
        return Corner(pixels, self.width, self.height)

    def _place(self, box: Box, pad: int) -> tuple[slice, slice]:
        x = box[0] - pad - (self.width - self.pixels.shape[1])
        y = box[1] - pad - (self.height - self.pixels.shape[0])
        across, down = box[2] + 2 * pad, box[3] + 2 * pad
        if x < 0 or y < 0 or x + across > self.pixels.shape[1] or y + down > self.pixels.shape[0]:
            raise ValueError(f"the box {box} leaves the picture of {self.width} x {self.height} px")
        return slice(y, y + down), slice(x, x + across)
