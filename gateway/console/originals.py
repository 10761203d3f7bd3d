"""Pictures as they came, for the page's before and after: the last few of its own tries, in memory, for a short while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.model import Image

_MOST_PICTURES, _MOST_BYTES, _KEPT_S = 12, 64_000_000, 600.0


@dataclass(frozen=True, slots=True)
class _Kept:
    data: bytes
    mime: str
    until: float


class Originals:
    """`clock` gives seconds. Keys are (request id, place in the reply)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()

    def keep(self, request_id: str, image: Image) -> None:
        """Keep `image` as the next one of its request."""
        number = sum(key[0] == request_id for key in self._kept)
        self._kept[request_id, number] = _Kept(image.data, image.mime, self._clock() + _KEPT_S)
        while len(self._kept) > _MOST_PICTURES or sum(len(one.data) for one in self._kept.values()) > _MOST_BYTES:
            self._kept.popitem(last=False)

    def find(self, request_id: str, number: int) -> tuple[bytes, str] | None:
        """(bytes, media type), if it is still there."""
        self.drop_old()
        one = self._kept.get((request_id, number))
        return (one.data, one.mime) if one else None

    def drop_old(self) -> None:
        """Let go of those whose time is over."""
        now = self._clock()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
