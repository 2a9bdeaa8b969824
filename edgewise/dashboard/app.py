"""The dashboard's web application: one page, its data as JSON and as a stream, and two things one may ask for."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgewise.dashboard.feed import Feed
from edgewise.dashboard.keyboard import TEXT_MAX, Keyboard
from edgewise_coordinator.catalog import roll_back_wherever
from edgewise_wire.errors import EdgewiseError

PAGE = Path(__file__).with_name("page")
LOOK_SECONDS = 0.25  # between two looks at the directory
QUIET_SECONDS = 15.0  # a stream with nothing to say says so, or a proxy would end it
STREAMS_MAX = 32  # pages open at once; a page more is told to ask again
BODY_MAX = 4096
TOKEN_DELAY = 0.5  # seconds that a wrong token costs

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}

T = TypeVar("T")


class Guard:
    """Adds the headers that keep a page to itself, and answers only to names that cannot be somebody else's.

    A page of another site can make a browser that sees this server talk to it under the site's own name (DNS
    rebinding). So the name that is asked for must be an address, `localhost`, or this machine's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *((name, value) for name, value in message["headers"] if name.decode() not in HEADERS),
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        if not self._knows(dict(scope["headers"]).get(b"host", b"").decode("latin-1")):
            await PlainTextResponse("ask for this machine by its address", 421)(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _knows(self, host: str) -> bool:
        name = host.rsplit("]", 1)[0][1:] if host.startswith("[") else host.rsplit(":", 1)[0]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self._names
        return True


class Dashboard:
    """The routes over one coordinator's directory.

    Args:
        directory: the coordinator's.
        token: who has it may roll back.
        keyboard: whether to offer the keyboard; not where what is typed would travel a network.
    """

    def __init__(self, directory: Path, token: str, *, keyboard: bool = True) -> None:
        self._directory = directory
        self._token = token
        self._offers_keyboard = keyboard
        self._feed = Feed(directory)
        self._keyboard: Keyboard | None = None
        # One thread reads the files and runs the models: the database belongs to it, and an interpreter to one caller.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="dashboard")
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="dashboard-ask")
        self._streams = 0
        self.closing = False
        self.app = Guard(
            Starlette(
                routes=[
                    Route("/", self._page),
                    Route("/page/{name}", self._asset),
                    Route("/healthz", self._health),
                    Route("/api/about", self._about),
                    Route("/api/events", self._events),
                    Route("/api/status", self._status),
                    Route("/api/rounds", self._rounds),
                    Route("/api/versions", self._versions),
                    Route("/api/suggest", self._suggest, methods=["POST"]),
                    Route("/api/rollback", self._roll_back, methods=["POST"]),
                ]
            )
        )

    def close(self) -> None:
        """Let go of the files."""
        self._worker.submit(self._feed.close)
        self._worker.shutdown()
        self._asker.shutdown()

    async def _work(self, act: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, act, *arguments)

    async def _page(self, _: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        known = {path.name for path in PAGE.iterdir()}
        return FileResponse(PAGE / name) if name in known else PlainTextResponse("no such file", 404)

    async def _health(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def _about(self, _: Request) -> Response:
        return JSONResponse(await self._work(self._describe))

    async def _status(self, _: Request) -> Response:
        return JSONResponse(await self._work(self._feed.status))

    async def _rounds(self, _: Request) -> Response:
        return JSONResponse(await self._work(self._feed.rounds))

    async def _versions(self, _: Request) -> Response:
        return JSONResponse(await self._work(self._feed.versions))

    # The stream ----------------------------------------------------------------------------------------------------

    async def _events(self, _: Request) -> Response:
        if self._streams >= STREAMS_MAX:
            return PlainTextResponse("enough pages are open", 503, {"retry-after": "10"})
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        self._streams += 1
        try:
            told: dict[str, object] = {}
            quiet = 0.0
            while not self.closing:
                news = await self._work(self._news, told)
                for name, value in news.items():
                    yield f"event: {name}\ndata: {json.dumps(value)}\n\n"
                quiet = 0.0 if news else quiet + LOOK_SECONDS
                if quiet > QUIET_SECONDS:
                    quiet = 0.0
                    yield ": nothing new\n\n"
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._streams -= 1

    def _news(self, told: dict[str, object]) -> dict[str, Any]:
        """Return what changed since it was last told, and note it in `told`."""
        news: dict[str, Any] = {}
        status = self._feed.status()
        if status is not None and told.get("status") != (seen := (status["time"], status["ill"])):
            told["status"], news["status"] = seen, status
        rows = self._feed.rounds()
        before = int(str(told.get("rounds", -1)))
        if len(rows) != before:
            whole = before < 0 or len(rows) < before
            news["rounds"] = {"from": 0 if whole else before, "rows": rows if whole else rows[before:]}
            told["rounds"] = len(rows)
        changed = ((status or {}).get("version"), len(rows))
        if told.get("versions") != changed:
            told["versions"], news["versions"] = changed, self._feed.versions()
        return news

    # What one may ask for ------------------------------------------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        catalog = self._feed.catalog()
        keyboard = self._open_keyboard()
        return {
            "directory": str(self._directory),
            "ready": catalog is not None,
            "metrics": list(catalog.metrics) if catalog else [],
            "parameters": catalog.parameters if catalog else 0,
            "keyboard": keyboard.missing if isinstance(keyboard, Keyboard) else keyboard,
        }

    def _open_keyboard(self) -> Keyboard | str:
        """Return the keyboard, or why there is none."""
        if not self._offers_keyboard:
            return (
                "The keyboard is offered only where the dashboard listens on the loopback: what you type would travel"
                " the network."
            )
        catalog = self._feed.catalog()
        if catalog is None:
            return "The keyboard comes with the first version of the model."
        if self._keyboard is None:
            self._keyboard = Keyboard(catalog)
        return self._keyboard

    async def _suggest(self, request: Request) -> Response:
        asked = await _body(request)
        if asked is None or not isinstance(asked.get("text"), str) or len(asked["text"]) > TEXT_MAX:
            return _wrong(f'expected {{"text": at most {TEXT_MAX} characters, "versions": [numbers]}}')
        versions = asked.get("versions")
        if not isinstance(versions, list) or len(versions) > 2 or not all(type(v) is int for v in versions):
            return _wrong("versions: expected one or two numbers")

        def suggest() -> dict[str, Any] | str:
            keyboard = self._open_keyboard()
            if not isinstance(keyboard, Keyboard) or keyboard.missing:
                return keyboard.missing if isinstance(keyboard, Keyboard) else keyboard
            return {str(v): keyboard.suggest(asked["text"], v) for v in versions}

        try:
            found = await self._work(suggest)
        except EdgewiseError as error:
            return _wrong(str(error))
        return _wrong(found, 409) if isinstance(found, str) else JSONResponse(found)

    async def _roll_back(self, request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            await asyncio.sleep(TOKEN_DELAY)
            return _wrong("this needs the token that was printed when the dashboard started", 401)
        asked = await _body(request)
        if asked is None or type(asked.get("version")) is not int:
            return _wrong('expected {"version": a number}')
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._asker, roll_back_wherever, self._directory, asked["version"])
        except EdgewiseError as error:
            return _wrong(str(error), 409)
        return JSONResponse({"version": made})


async def _body(request: Request) -> dict[str, Any] | None:
    """Return a request's JSON object if it is one and not too long."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > BODY_MAX:
            return None
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _wrong(reason: str, status: int = 400) -> Response:
    return JSONResponse({"error": reason}, status)
