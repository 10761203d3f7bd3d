"""Finds and removes the visible four-pointed star on one's own generated pictures. Imports nothing of the gateway."""

from watermark.blend import add

__all__ = ["add"]
