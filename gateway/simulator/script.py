"""A generation as a series of steps: what is sent, where it waits, how it breaks. Pure: others play the steps."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.simulator import frames
from gateway.simulator.answers import Answer, stages
from gateway.simulator.faults import Fault

_CAPTION = "Creating your image"
_HUGE_PIECE = 65536


@dataclass(frozen=True, slots=True)
class Send:
    """Write `data`. Content frames are paced and counted, the others are not."""

    data: bytes
    content: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing for `seconds` (None: until the client leaves)."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Reset:
    """A TCP reset. Nothing follows."""


@dataclass(frozen=True, slots=True)
class BadChunk:
    """A chunk header that is none, and the end of the connection."""


Step = Send | Wait | Reset | BadChunk


@dataclass(frozen=True, slots=True)
class Turn:
    """The fixed part of a generation: ids, the model that answers as (hash, name), the rich content of the finished
    candidate, delays, and which of the two spellings of the fields is used."""

    cid: str
    rid: str
    rcid: str
    reply: Answer
    model: tuple[str, str] | None
    rich: Sequence[Any] | None = None
    placeholder: str = ""
    new: bool = True
    queue_s: float = 0.0
    think_s: float = 0.0
    sparse: bool = False

    @property
    def ids(self) -> tuple[str, str]:
        """Conversation id and reply id."""
        return self.cid, self.rid

    def text(self) -> str:
        """The whole answer as the site spells it."""
        return frames.escape_html(self.reply.text) + self.placeholder

    def candidate(self, text: str | None = None, *, complete: bool = True) -> list[Any]:
        """The candidate as the history shows it: the whole one, or the `text` it had come to when it was stopped."""
        return frames.candidate(
            self.rcid,
            text=self.text() if text is None else frames.escape_html(text),
            thoughts=frames.escape_html(self.reply.thoughts),
            complete=complete,
            rich=self.rich if complete else None,
        )


def healthy(turn: Turn) -> Iterator[Step]:
    """The steps of a generation in which nothing goes wrong."""
    sent = 0
    for step in _opening(turn):
        sent += len(step.data) if isinstance(step, Send) else 0
        yield step
    for step in _content(turn):
        sent += len(step.data)
        yield step
    yield Send(frames.tail(sent, milliseconds=len(turn.reply.text) + 190, trace=turn.rid[2:]))


def _opening(turn: Turn) -> Iterator[Step]:
    yield Send(frames.PREFIX + frames.part([None, list(turn.ids), {"18": turn.rid, "44": False}]))
    if turn.queue_s:
        yield from _ticking(turn.queue_s, frames.status([1]))
    if turn.think_s:
        yield from _ticking(turn.think_s, frames.heartbeat(1000))
    if turn.reply.pictures:
        yield from (Send(frames.part([None, list(turn.ids), {"7": [_CAPTION, state]}])) for state in (1, 4))


def _ticking(seconds: float, tick: bytes) -> Iterator[Step]:
    while seconds > 0:
        yield Send(tick)
        yield Wait(min(seconds, 1.0))
        seconds -= 1.0


def _content(turn: Turn) -> Iterator[Send]:
    reply = turn.reply
    series = frames.Cumulative(turn.ids, turn.rcid, model=turn.model, thinks=bool(reply.thoughts), sparse=turn.sparse)
    for number, (text, thoughts) in enumerate(stages(reply), start=1):
        if number >= reply.frames:
            break
        yield Send(series.frame(frames.escape_html(text), frames.escape_html(thoughts)), content=True)
    final = frames.turn(turn.ids, [turn.candidate()], model=turn.model, context=_context(turn), sparse=turn.sparse)
    yield Send(frames.part(final), content=True)
    if turn.new and reply.title:
        yield Send(frames.part([None, list(turn.ids), {"11": [reply.title], "44": False}]))


def _context(turn: Turn) -> str:
    return "AwAAAAAAAAAQ" + turn.rid[2:]


def with_fault(turn: Turn, fault: Fault) -> Iterator[Step]:
    """The steps of a generation that `fault` (one of `faults.GENERATION`) strikes."""
    steps = healthy(turn)
    match fault.name:
        case "code":
            return _refused(steps, turn, fault)
        case "dribble":
            return _dribbled(steps)
        case "lying_length" | "garbage_frame" | "huge_frame" | "endless":
            return _spoilt(steps, fault)
        case _:
            return _broken(steps, fault)


def _refused(steps: Iterator[Step], turn: Turn, fault: Fault) -> Iterator[Step]:
    after = fault.after if fault.after is not None else (10**9 if fault.code == 1096 else 0)
    if after == 0:
        yield Send(frames.PREFIX)
    else:
        yield from _before_tail(steps, after)
    yield Send(frames.error(fault.code))
    yield Send(frames.tail(191, milliseconds=191, trace=turn.rid[2:]))


def _before_tail(steps: Iterator[Step], after: int) -> Iterator[Step]:
    held: Step | None = None
    for step in steps:
        if held is not None:
            yield held
            after -= isinstance(held, Send) and held.content
            if after <= 0:
                return
        held = step


def _until(steps: Iterator[Step], after: int) -> Generator[Step, None, Send]:
    """Pass `after` content frames and return the next frame after them."""
    for step in steps:
        if isinstance(step, Send) and (step.content or after < 0):
            if after <= 0:
                return step
            after -= 1
        yield step
    return Send(b"")


def _broken(steps: Iterator[Step], fault: Fault) -> Iterator[Step]:
    struck = yield from _until(steps, 1 if fault.after is None else fault.after)
    match fault.name:
        case "stall":
            yield Wait(fault.seconds)
        case "truncate":
            yield Send(struck.data[: max(1, len(struck.data) // 2)])
        case "bad_chunk":
            yield BadChunk()
        case "reset_mid":
            yield Reset()
        case _:  # no_completion: a clean end is all there is
            return


def _spoilt(steps: Iterator[Step], fault: Fault) -> Iterator[Step]:
    struck = yield from _until(steps, 1 if fault.after is None else fault.after)
    match fault.name:
        case "garbage_frame":
            yield Send(b'29\n[["wrb.fr",null,"{not json]]]\n')
            yield struck
        case "lying_length":
            length, _, body = struck.data.partition(b"\n")
            yield Send(b"%d\n%b" % (int(length or b"0") + 100_000, body), content=True)
        case "huge_frame":
            yield from _huge(fault.size)
            yield struck
        case _:
            yield from _endless(struck, fault.size)
            return
    yield from steps


def _huge(size: int) -> Iterator[Step]:
    head, last = b'[["wrb.fr",null,null,null,null,null,"', b'"]]\n'
    yield Send(b"%d\n%b" % (size + len(head) + len(last) + 1, head))
    for start in range(0, size, _HUGE_PIECE):
        yield Send(b"x" * min(_HUGE_PIECE, size - start))
    yield Send(last)


def _endless(struck: Send, size: int) -> Iterator[Step]:
    for _ in range(0, size, max(1, len(struck.data))):
        yield Send(struck.data)


def _dribbled(steps: Iterator[Step]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, Send):
            for start in range(0, len(step.data), 3):
                yield Send(step.data[start : start + 3], content=step.content and start == 0)
                yield Wait(0)
        else:
            yield step


def rejected() -> bytes:
    """The whole reply to a request that is not let in: status list [7]."""
    body = frames.PREFIX + frames.status([7])
    return body + frames.tail(len(body), milliseconds=120, trace="0")
