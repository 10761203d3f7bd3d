"""What a wire format is: its addresses, and pure functions between its JSON and our values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard, runtime_checkable
from weakref import WeakKeyDictionary

from gateway.errors import GatewayError
from gateway.model import Call, Event, Reply, RequestHead

Operation = Literal["generate", "count", "models", "model", "record", "file", "unsupported"]


def anyone(head: RequestHead) -> bool:
    """The claim of a route that shares its address with nobody."""
    return True


@dataclass(frozen=True, slots=True)
class Route:
    """One address of a dialect. `path` is an aiohttp pattern. Where two dialects share an address, `claims` says by the
    request's head whose it is; the first that claims it serves. `action` tells decode() which of its forms this is.
    `form` says that multipart/form-data is taken beside JSON; `instead` tells the caller of an unsupported one where to
    turn."""

    method: str
    path: str
    operation: Operation
    action: str = ""
    claims: Callable[[RequestHead], bool] = anyone
    form: bool = False
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form. Its name and media type are the caller's claims, as they came: no file of ours is called so."""

    data: bytes
    name: str = ""
    mime: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A decoded HTTP request: `body` is the JSON object (of a form: its fields as text, its files as Upload, a list where
    a name is repeated), `params` come from the path. `id` and `created` (seconds since
    1970) are made at the edge, so that encoding stays pure."""

    head: RequestHead
    route: Route
    params: Mapping[str, str]
    body: Mapping[str, Any]
    id: str
    created: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A public model as lists show it. `window` is in tokens; `image` is "1K", "2K", "4K" or None."""

    name: str
    title: str
    window: int
    image: str | None = None


class Dialect(Protocol):
    """A wire format. Every method is pure. The bytes of the stream methods are ready for the socket."""

    name: str
    routes: tuple[Route, ...]

    def decode(self, request: Request) -> Call:
        """Read a request. Raises InvalidRequest with the dotted `param`."""

    def stream_content_type(self, call: Call) -> str:
        """Content type of the streamed reply to `call`."""

    def encode_start(self, call: Call) -> bytes:
        """What a stream opens with, before its first event (may be empty)."""

    def encode_event(self, event: Event, call: Call) -> bytes:
        """One event of a stream (may be empty). `Finished` closes the stream's format."""

    def encode_keep_alive(self, call: Call) -> bytes:
        """Something that this dialect's clients read as silence."""

    def encode_late_error(self, error: GatewayError, call: Call) -> bytes:
        """An error after the headers left; closes the stream's format."""

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        """The reply to a caller who does not stream."""

    def encode_error(self, error: GatewayError) -> bytes:
        """The body of an error reply."""

    def encode_models(self, cards: Sequence[ModelCard], query: Mapping[str, str]) -> bytes:
        """The list of models."""

    def encode_model(self, card: ModelCard) -> bytes:
        """One model."""


# --- what only some wire formats have -----------------------------------------------------------------------------


@runtime_checkable
class OwnStatus(Protocol):
    """A format whose HTTP statuses are not those of the error classes."""

    def status(self, error: GatewayError) -> int:
        """The HTTP status of `error`."""


@runtime_checkable
class Counting(Protocol):
    """A format in which a caller may ask how many tokens a prompt has (operation `count`)."""

    def encode_count(self, tokens: int, call: Call) -> bytes:
        """The reply: the prompt of `call` has `tokens`."""


@runtime_checkable
class Recording(Dialect, Protocol):
    """A format whose answers are kept for later requests (operation `record`). A record is bytes; the edge keeps it under
    the id of its call, for nobody but its owner."""

    def needs(self, call: Call) -> frozenset[str]:
        """Ids of the records that `call` builds upon."""

    def recall(self, call: Call, records: Mapping[str, bytes]) -> Call:
        """`call` with what it builds upon. Raises PreviousNotFound or NotFound for what is not in `records`."""

    def record(self, call: Call) -> bytes | None:
        """What is to be kept of an answered call; None when the caller wants nothing kept."""

    def encode_record(self, action: str, id: str, record: bytes, query: Mapping[str, str]) -> bytes:
        """The reply to a request about a kept record; `action` is that of the route."""


@runtime_checkable
class Detaching(Recording, Protocol):
    """A format in which a call may be answered while nobody waits (`Call.background`)."""

    def stand(self, call: Call, status: str, error: GatewayError | None = None) -> None:
        """From now on the record of `call` says `status`: queued, in_progress, cancelled or failed. A whole reply that is
        encoded makes it final."""


@runtime_checkable
class Listing(Recording, Protocol):
    """A format whose records can be listed and changed (actions `list` and `update`)."""

    def amend(self, record: bytes, body: Mapping[str, Any]) -> bytes:
        """`record` with what a request to change it says. Raises InvalidRequest."""

    def encode_list(self, records: Sequence[bytes], query: Mapping[str, str]) -> bytes:
        """A page of `records`, which come in no order."""


def keeps_records(dialect: Dialect) -> TypeGuard[Recording]:
    """Whether `dialect` is Recording. `isinstance` looks through a protocol anew each time, which is a tenth of the CPU
    that a short call takes."""
    kind = type(dialect)
    if (found := _recording.get(kind)) is None:
        found = _recording[kind] = isinstance(dialect, Recording)
    return found


_recording: WeakKeyDictionary[type[Dialect], bool] = WeakKeyDictionary()  # classes of plugins go with a reload
