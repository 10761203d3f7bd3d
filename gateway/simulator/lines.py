"""What the simulated model is to say on cue: a book of lines, each for the next prompt that it fits. Pure bookkeeping."""

import re
from dataclasses import dataclass


@dataclass(slots=True)
class Line:
    """An answer that waits for a prompt (attached texts included) in which `match`, a regular expression, is found;
    `times` times (None: until it is cleared). Raises ValueError for an expression that cannot be read."""

    text: str
    match: str = ""
    times: int | None = 1

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as exc:
            raise ValueError(f"match={self.match!r} is no regular expression: {exc}") from None

    def fits(self, prompt: str) -> bool:
        """Whether this line answers `prompt`."""
        return re.search(self.match, prompt) is not None


class LineBook:
    """The planned lines, oldest first."""

    def __init__(self) -> None:
        self._planned: list[Line] = []

    def __len__(self) -> int:
        return len(self._planned)

    def plan(self, line: Line) -> None:
        """Add one."""
        self._planned.append(line)

    def clear(self) -> None:
        """Forget them all."""
        self._planned.clear()

    def take(self, prompt: str) -> str | None:
        """The answer to `prompt`, counted down; None where no line fits."""
        line = next((line for line in self._planned if line.fits(prompt)), None)
        if line is None:
            return None
        if line.times is not None:
            line.times -= 1
            if line.times <= 0:
                self._planned.remove(line)
        return line.text
