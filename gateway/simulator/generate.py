"""StreamGenerate: reads the request, decides what comes of it, and keeps the turn in the conversation."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from gateway.simulator import answers, asking, directives, frames, pages, pictures, player, script, trouble
from gateway.simulator.accounts import Account, Model, Status
from gateway.simulator.chats import Chat, Record, new_id
from gateway.simulator.directives import BadDirective, Directive
from gateway.simulator.faults import ANYWHERE, Fault
from gateway.simulator.log import Attachment
from gateway.simulator.visit import Visit

_CONTENT_TYPE = "application/json; charset=utf-8"
_OPEN_STATUSES = (Status.AVAILABLE, Status.UNAUTHENTICATED, Status.UNTRUSTED)
_PROGRESS = [None] * 6 + [[1]]


@dataclass(slots=True)
class _Job:
    """A generation that was accepted: the request, its directive, the model that answers, the conversation."""

    ask: asking.Ask
    directive: Directive
    prompt: str
    model: Model
    chat: Chat
    fault: Fault | None = None


async def generate(visit: Visit, planned: Fault | None) -> web.StreamResponse:
    """Answer one generation; `planned` is the fault that the site's book has for it."""
    try:
        ask = asking.read(await visit.form(), visit.request.headers)
        directive, prompt = _directed(visit, ask)
        fault = planned or fault_of(directive)
        silence = directive.seconds("first_ms", visit.site.settings.first_ms / 1000)
    except (asking.NotAsked, ValueError) as exc:
        return await visit.reply(web.Response(status=400, text=f"Bad Request: {exc}"))
    _note(visit, ask)
    await asyncio.sleep(silence)
    if fault is not None and (struck := await trouble.strike(visit, fault)) is not None:
        return struck
    if (refusal := _refusal(visit, ask)) is not None:
        return await _refuse(visit, refusal)
    job = _accept(visit, ask, directive, prompt)
    job.fault = fault if fault is not None and fault.name not in ANYWHERE else None
    return await _perform(visit, job)


def _directed(visit: Visit, ask: asking.Ask) -> tuple[Directive, str]:
    """What was planned for the prompt, else its directive, else that of an attached text; and the prompt as the model
    sees it."""
    most = visit.site.settings.cut_prompt_bytes
    seen = ask.prompt.encode()[:most].decode("utf-8", "ignore") if most else ask.prompt
    attached = list(_texts(visit, ask))
    line = visit.site.lines.take("\n".join([seen, *attached])) if len(visit.site.lines) else None
    if line is not None:
        return Directive({"text": line}), seen
    directive, prompt = directives.parse(seen)
    for text in attached:
        if not directive.values:
            directive, _ = directives.parse(text)
    return directive, prompt


def _texts(visit: Visit, ask: asking.Ask) -> Iterator[str]:
    """The attached texts."""
    for upload_id, _ in ask.files:
        upload = visit.site.uploads.get(upload_id)
        if upload is not None and upload.type.startswith("text/"):
            yield upload.data.decode("utf-8", "ignore")


def fault_of(directive: Directive) -> Fault | None:
    """The fault that a directive asks for. Raises ValueError for one that does not exist."""
    name = directive.values.get("fault")
    if name is None:
        return None
    fault = Fault(name)
    details: dict[str, Any] = {
        key: directive.number(key) for key in ("status", "code", "retry_after", "after", "size") if key in directive.values
    }
    if "seconds" in directive.values:
        details["seconds"] = directive.seconds("seconds")
    return replace(fault, **details)


def _note(visit: Visit, ask: asking.Ask) -> None:
    entry = visit.entry
    visit.site.log.set_prompt(entry, ask.prompt)
    entry.files = tuple(_attachment(visit, upload_id, name) for upload_id, name in ask.files)
    entry.model_id, entry.temporary, entry.thinking = ask.model_id, ask.temporary, ask.thinking
    entry.cid = ask.cid or None
    visit.site.log.changed()


def _attachment(visit: Visit, upload_id: str, name: str) -> Attachment:
    upload = visit.site.uploads.get(upload_id)
    if upload is None:
        return Attachment(name)
    return Attachment(name, upload.name, upload.type, len(upload.data))


def _refusal(visit: Visit, ask: asking.Ask) -> int | None:
    """The error code, or an HTTP status below 1000, with which the site refuses; None where it does not."""
    account = visit.account
    if ask.token and not account.guest and ask.token != account.token:
        return 400
    if account.status == Status.LOCATION_REJECTED:
        return 1060
    if account.status not in _OPEN_STATUSES:
        return 7
    if account.exhausted():
        return 1037
    if ask.model_id and not account.guest and account.model(ask.model_id) is None:
        return 1052
    if ask.cid and visit.site.chats(account).find(ask.cid) is None:
        return 1097
    return None


async def _refuse(visit: Visit, reason: int) -> web.StreamResponse:
    if reason == 400:
        return await visit.reply(web.Response(status=400, body=pages.error(400), content_type="text/html"))
    if reason == 7:
        return await visit.reply(web.Response(body=script.rejected(), content_type="application/json"))
    visit.entry.fault = str(reason)
    body = frames.PREFIX + frames.error(reason) + frames.tail(191, milliseconds=191, trace="0")
    return await visit.reply(web.Response(body=body, content_type="application/json"))


def _accept(visit: Visit, ask: asking.Ask, directive: Directive, prompt: str) -> _Job:
    visit.account.used += 1
    chats = visit.site.chats(visit.account)
    chat = chats.find(ask.cid) if ask.cid else None
    if chat is None:
        chat = Chat(new_id("c"), "", temporary=ask.temporary or visit.account.guest)
    return _Job(ask, directive, prompt, model=_served(visit.account, ask), chat=chat)


def _served(account: Account, ask: asking.Ask) -> Model:
    if account.guest:
        return account.models[0]
    forced = next((model for model in account.models if model.category == account.served), None)
    asked = account.model(ask.model_id) if ask.model_id else None
    return forced or asked or account.default_model()


def _downgraded(account: Account) -> Model:
    return account.models[0]


async def _perform(visit: Visit, job: _Job) -> web.StreamResponse:
    settings = visit.site.settings
    if (job.fault is not None and job.fault.name == "downgrade") or job.directive.flag("downgrade"):
        job.model = _downgraded(visit.account)
    try:
        turn = await _turn(visit, job)
        pace = job.directive.seconds("pace_ms", settings.pace_ms / 1000)
    except BadDirective as exc:
        return await visit.reply(web.Response(status=400, text=f"Bad Request: {exc}"))
    visit.entry.cid, visit.entry.rid, visit.entry.model = turn.cid, turn.rid, job.model.category
    steps = script.healthy(turn) if job.fault is None else _steps(turn, job.fault)
    keeper = _Keeper(visit, job, turn)
    response = await visit.start(_CONTENT_TYPE)
    try:
        return await player.play(visit, response, steps, pace)
    finally:
        keeper.settle()


def _steps(turn: script.Turn, fault: Fault) -> Iterator[script.Step]:
    match fault.name:
        case "empty_answer":
            return script.healthy(replace(turn, reply=replace(turn.reply, text="", frames=1), placeholder=""))
        case "downgrade":
            return script.healthy(turn)
        case _:
            return script.with_fault(turn, fault)


async def _turn(visit: Visit, job: _Job) -> script.Turn:
    settings = visit.site.settings
    reply = answers.answer(
        answers.Question(
            job.prompt,
            job.directive,
            files=visit.entry.files,
            model=job.model.display,
            turn=len(job.chat.turns) + 1,
            thinking=job.ask.thinking,
            chunk_chars=settings.chunk_chars,
            star=settings.star,
        )
    )
    ids = [pictures.image_id(settings.placeholder, wish.number) for wish in reply.pictures]
    job.chat.title = job.chat.title or reply.title
    return script.Turn(
        cid=job.chat.cid,
        rid=new_id("r"),
        rcid=new_id("rc"),
        reply=reply,
        model=(job.model.id, job.model.display),
        rich=pictures.rich_content(reply, settings.placeholder, await visit.site.gallery.sizes(reply.pictures)),
        placeholder="".join(f"\n\n{name}\n" for name in ids),
        new=not job.chat.turns,
        queue_s=job.directive.seconds("queue_ms"),
        think_s=job.directive.seconds("think_ms"),
        sparse=settings.sparse,
    )


class _Keeper:
    """Keeps the turn in the conversation: unfinished while it runs, then as it ended."""

    def __init__(self, visit: Visit, job: _Job, turn: script.Turn) -> None:
        self._visit, self._chat, self._turn = visit, job.chat, turn
        running = frames.candidate(turn.rcid, text="", rich=_PROGRESS)
        self._record = Record(turn.rid, job.ask.prompt, job.model.id, running)
        self._chat.turns.append(self._record)
        self._chat.at = visit.site.clock()
        self._keep()

    def settle(self) -> None:
        """Note how the turn ended; an unsaid answer (an error code) leaves no trace."""
        visit, turn = self._visit, self._turn
        stopped = visit.entry.outcome in ("open", "aborted") and not visit.site.settings.finish_after_abort
        if visit.entry.fault is not None and visit.entry.fault.isdigit() and visit.entry.fault != "1096":
            self._chat.turns.remove(self._record)
        elif stopped:
            self._record.candidate = turn.candidate(_half(turn, visit.entry.sent), complete=False)
        else:
            self._record.candidate = turn.candidate()
        self._keep()

    def _keep(self) -> None:
        if self._chat.turns and not self._visit.account.guest:
            self._visit.site.chats(self._visit.account).keep(self._chat)


def _half(turn: script.Turn, sent: int) -> str:
    """The last text that fits into what was sent."""
    text = ""
    for text, _ in answers.stages(turn.reply):
        sent -= len(text)
        if sent <= 0:
            break
    return text
