"""How many bytes of media all requests hold together: more than a bound is refused at once, not suffered."""

from __future__ import annotations

from gateway.errors import Overloaded


class Held:
    """At most `most` bytes at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0

    def share(self) -> Share:
        """The share of one request, given back when its context is left."""
        return Share(self)


class Share:
    """What one request holds."""

    __slots__ = ("_held", "size")

    def __init__(self, held: Held) -> None:
        self._held = held
        self.size = 0

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *exc: object) -> None:
        self.give_back()

    def keep(self, size: int) -> None:
        """Give back what is more than `size`: it was a guess, and `size` is what came."""
        more = max(0, self.size - size)
        self._held.size -= more
        self.size -= more

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._held.size -= self.size
        self.size = 0

    def passed_on(self) -> Share:
        """The same for somebody who stays longer than the request, and gives it back."""
        other = Share(self._held)
        other.size, self.size = self.size, 0
        return other

    def take(self, size: int) -> None:
        """Hold `size` more bytes, until the request is over. Raises Overloaded."""
        if size and self._held.size + size > self._held.most:
            raise Overloaded("Too many large requests at once", retry_after=5)
        self._held.size += size
        self.size += size
