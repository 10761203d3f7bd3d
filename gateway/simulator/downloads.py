"""The hosts that pictures come from, and the one that files go to."""

from aiohttp import web
from aiohttp.multipart import BodyPartReader

from gateway.simulator.pictures import Picture, UnknownPicture
from gateway.simulator.visit import Visit

_DOWNLOAD = "d-I"
_HOP = "https://work.fife.usercontent.google.com/rd-gg-dl/{token}=s0-d-I?alr=yes"
_FILE = "https://lh3.googleusercontent.com/rd-gg-dl/{token}=s0-d-I?alr=yes"
_VIDEO = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2\x00\x00\x00\x08free"


async def image(visit: Visit) -> web.StreamResponse:
    """lh3.googleusercontent.com: previews (gg-dl), files (rd-gg-dl), pictures of the web, and a video."""
    _, folder, rest = (visit.request.path + "//").split("/", 2)
    token, _, options = rest.rstrip("/").partition("=")
    if folder == "video":
        return await visit.reply(web.Response(body=_VIDEO, content_type="video/mp4"))
    if folder == "gg-dl" and options == _DOWNLOAD:
        return await visit.reply(web.Response(text=_HOP.format(token=token)))
    return await _file(visit, token, options)


async def hop(visit: Visit) -> web.StreamResponse:
    """work.fife.usercontent.google.com: the second of the three steps to a file, which names the third."""
    token = visit.request.path.rpartition("/")[2].partition("=")[0]
    return await visit.reply(web.Response(text=_FILE.format(token=token)))


async def _file(visit: Visit, token: str, options: str) -> web.StreamResponse:
    try:
        picture = Picture.from_token(token)
    except UnknownPicture:
        return await visit.reply(web.Response(status=403, text="Forbidden"))
    data, content_type = await visit.site.gallery.file(picture, options)
    return await visit.reply(web.Response(body=data, content_type=content_type))


async def upload(visit: Visit) -> web.StreamResponse:
    """content-push.googleapis.com: one multipart file; the answer is its id."""
    await visit.welcome()
    reader = await visit.request.multipart() if visit.request.content_type == "multipart/form-data" else None
    if reader is None or not visit.request.headers.get("Push-ID"):
        return await visit.reply(web.Response(status=400, text="Bad Request"))
    async for part in reader:
        if isinstance(part, BodyPartReader) and part.name == "file":
            content_type = part.headers.get("Content-Type", "application/octet-stream")
            stored = visit.site.uploads.add(part.filename or "", content_type, await _whole(part))
            return await visit.reply(web.Response(text=stored.id))
    return await visit.reply(web.Response(status=400, text="Bad Request"))


async def _whole(part: BodyPartReader) -> bytes:
    """The part's bytes: the site takes files that are larger than what aiohttp's own read() allows."""
    pieces = []
    while piece := await part.read_chunk(262_144):
        pieces.append(bytes(piece))
    return b"".join(pieces)
