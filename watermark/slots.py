"""Where the star has been seen: a slot is `size@margin`, measured from the bottom right corner.

Only positions and how likely they are; the shape is in masks.py, the arithmetic in blend.py.
"""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A square of `size` px whose right and bottom edges lie `margin` px inside the picture."""

    size: int
    margin: int

    @classmethod
    def parse(cls, text: str) -> Slot:
        """The slot that `text` ("48@96") names. Raises ValueError when it is no such word."""
        size, at, margin = text.partition("@")
        if not at or not size.isdecimal() or not margin.isdecimal() or int(size) < 1:
            raise ValueError(f"not a slot: {text!r}; write size@margin, for example 48@96")
        return cls(int(size), int(margin))

    def box(self, width: int, height: int) -> Box:
        """The square in a picture of `width` x `height` px. Raises ValueError when it does not fit."""
        x, y = width - self.margin - self.size, height - self.margin - self.size
        if x < 0 or y < 0:
            raise ValueError(f"slot {self} does not fit into {width} x {height} px")
        return x, y, self.size, self.size

    def __str__(self) -> str:
        return f"{self.size}@{self.margin}"
