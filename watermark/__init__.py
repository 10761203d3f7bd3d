"""Finds and removes the visible four-pointed star on one's own generated pictures. Imports nothing of the gateway.

    result = clean(Path("picture.png").read_bytes())     # PNG, JPEG or WebP; result.data is of the same format
    mark = detect(pixels)                                # H x W x 3, uint8; None: no star
    pixels = remove(pixels, mark)

SynthID, the invisible mark, is neither looked for nor touched; provenance metadata is kept.
"""

from watermark.blend import add
from watermark.clean import Options, Reason, Result, clean
from watermark.detect import Mark, detect
from watermark.remove import remove
from watermark.slots import Slot

__all__ = ["Mark", "Options", "Reason", "Result", "Slot", "add", "clean", "detect", "remove"]
