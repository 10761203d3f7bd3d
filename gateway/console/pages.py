"""The files of the admin page and of the API reference, with the headers that keep both to themselves: nothing is loaded
from elsewhere, nothing inline runs, nobody frames them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from gateway.errors import NotFound

STATIC = Path(__file__).parent.parent.parent / "static"
# Swagger UI as this package ships it (the extra `docs`); only its files are used.
_RENDERER = "flask_swagger_ui"
_RENDERER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The page never turns text into markup or code; with this the browser would not let it.
_TRUSTED = "; require-trusted-types-for 'script'; trusted-types 'none'"
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Pages:
    """`describe` makes the OpenAPI document, once. `renderer` is the folder of what shows it; None: it is not installed,
    and /docs says how it is."""

    def __init__(self, describe: Callable[[], Mapping[str, Any]], renderer: Path | None) -> None:
        self._describe = describe
        self._document: bytes | None = None
        self._renderer = renderer
        # Looked up by name, never by path: an address leads to one of these or nowhere.
        self._files = {file.relative_to(STATIC).as_posix(): file for file in STATIC.rglob("*") if file.is_file()}

    def routes(self) -> list[web.AbstractRouteDef]:
        """The addresses, for `app.add_routes`."""
        return [
            web.get("/", self.page),
            web.get("/docs", self.docs),
            web.get("/docs/{file}", self.renderer_file),
            web.get("/openapi.json", self.openapi),
            web.get("/static/{file:.*}", self.static),
        ]

    async def page(self, request: web.Request) -> web.FileResponse:
        """The admin page. HEAD is answered too: one client sends it, without a key, before anything else."""
        return web.FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": _CSP + _TRUSTED})

    async def docs(self, request: web.Request) -> web.FileResponse:
        """The API reference, to read and to try."""
        return web.FileResponse(STATIC / ("docs.html" if self._renderer else "docs-missing.html"))

    async def renderer_file(self, request: web.Request) -> web.FileResponse:
        """A file of the API reference."""
        file = request.match_info["file"]
        if self._renderer is None or file not in _RENDERER_FILES:
            raise NotFound("There is nothing at this address")
        return web.FileResponse(self._renderer / file)

    async def static(self, request: web.Request) -> web.FileResponse:
        """A file of the admin page."""
        if (file := self._files.get(request.match_info["file"])) is None:
            raise NotFound("There is nothing at this address")
        return web.FileResponse(file)

    async def openapi(self, request: web.Request) -> web.Response:
        """The OpenAPI 3.1 description of everything that is served."""
        if self._document is None:
            self._document = orjson.dumps(self._describe())
        return web.Response(body=self._document, content_type="application/json")

    async def dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """An `on_response_prepare` signal: headers of the page and its files."""
        if request.path == "/" or request.path.startswith(("/static", "/docs")):
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)


def installed_renderer() -> Path | None:
    """The folder of the renderer, if the extra `docs` is installed."""
    spec = importlib.util.find_spec(_RENDERER)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "dist"
    return folder if all((folder / file).is_file() for file in _RENDERER_FILES) else None
