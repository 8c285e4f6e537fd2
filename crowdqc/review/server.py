"""The page's other end: a small web server for one reviewer on this machine.

Whoever opens the page needs the token of its address, once; then a cookie that no script reads
says who asks. `Host` and `Origin` must be our own, so that no other page in the same browser can
send requests, whatever name it resolves. Cases, slices and items are numbers: no name becomes a
path.
"""

from __future__ import annotations

import hmac
import importlib.resources
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from crowdqc.findings import InputError
from crowdqc.review.session import Session, StaleError

COOKIE = "crowdqc-review"
BODY_MAX = 65_536
"""Bytes of a decision; one has a few hundred."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ASSETS = {
    "/": ("crowdqc.review", "page.html", "text/html"),
    "/review.css": ("crowdqc.review", "review.css", "text/css"),
    "/review.js": ("crowdqc.review", "review.js", "text/javascript"),
    "/viewer.js": ("crowdqc.report", "templates/viewer.js", "text/javascript"),
}


class Guard:
    """Who may ask, and for what: checked before anything else is done.

    Parameters
    ----------
    hosts : iterable of str
        Values of the header ``Host`` that are ours.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self.token = secrets.token_urlsafe(24)
        self._cookie = secrets.token_urlsafe(24)
        self._hosts = set(hosts)
        self._used = False

    def check(self, request: Request) -> Response | None:
        """`None` where a request may go on; else what it gets instead."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host not in self._hosts:
            return _refused(400, "This is not the address of the page.")
        if origin is not None and origin not in {f"http://{one}" for one in self._hosts}:
            return _refused(403, "Another page may not ask.")
        if request.method == "POST" and (
            origin is None or request.headers.get("content-type") != "application/json"
        ):
            return _refused(403, "Only the page itself may decide.")
        if hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._cookie.encode()):
            return None
        return self._first(request)

    def _first(self, request: Request) -> Response:
        given = request.query_params.get("token", "")
        if request.url.path != "/" or not hmac.compare_digest(given.encode(), self.token.encode()):
            return _refused(403, "Open the address that crowdqc review printed.")
        if self._used:
            return _refused(
                403, "This address was used already. Start crowdqc review again for another one."
            )
        self._used = True
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(COOKIE, self._cookie, httponly=True, samesite="strict")
        return response


def _refused(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)


def make_app(session: Session, guard: Guard) -> Starlette:
    """The application.

    Parameters
    ----------
    session : Session
        The work that the page shows.
    guard : Guard
        Who may see it.

    Returns
    -------
    Starlette
    """
    pages = _Pages(session)
    handlers = {
        "/api/summary": pages.summary,
        "/api/item/{item:int}": pages.item,
        "/api/next/{item:int}": pages.following,
        "/api/slice/{case:int}/{k:int}": pages.slice,
        "/image/{case:int}/{k:int}": pages.image,
        "/image/{case:int}/uncertainty/{label:int}/{k:int}": pages.uncertainty,
        "/image/{case:int}/{view}/{at:int}": pages.plane,
        **{path: _asset(*of) for path, of in _ASSETS.items()},
    }
    routes = [Route(path, _answer(does, guard)) for path, does in handlers.items()]
    post = Route("/api/item/{item:int}", _answer(pages.decide, guard), methods=["POST"])
    return Starlette(routes=[post, *routes, Route("/{rest:path}", _answer(_nothing, guard))])


class _Pages:
    """What is answered; cases and items are numbers, which are checked here."""

    def __init__(self, session: Session) -> None:
        self.session, self.view = session, session.view

    async def summary(self, _: Request) -> Any:
        return await run_in_threadpool(self.session.summary)

    async def item(self, request: Request) -> Any:
        return await run_in_threadpool(self.session.item, self._item(request))

    async def following(self, request: Request) -> Any:
        after = _number(request, "item", len(self.session.queue) + 1) - 1
        return {"next": await run_in_threadpool(self.session.first_open, after)}

    async def slice(self, request: Request) -> Any:
        return await run_in_threadpool(self.view.slice, *self._slice(request))

    async def image(self, request: Request) -> Response:
        return _picture(await run_in_threadpool(self.view.picture, *self._slice(request)))

    async def uncertainty(self, request: Request) -> Response:
        label = self.view.labels[_number(request, "label", len(self.view.labels))]
        place = *self._slice(request), label
        return _picture(await run_in_threadpool(self.view.uncertainty, *place))

    async def plane(self, request: Request) -> Response:
        case, view = self._case(request), request.path_params["view"]
        at = int(request.path_params["at"])
        return _picture(await run_in_threadpool(self.view.plane, case, view, at))

    async def decide(self, request: Request) -> Any:
        if self.session.read_only:
            raise HTTPException(403, "This is for looking only: nothing is saved.")
        entry, item = await _body(request), self._item(request)
        return await run_in_threadpool(self.session.decide, item, entry)

    def _item(self, request: Request) -> int:
        return _number(request, "item", len(self.session.queue))

    def _case(self, request: Request) -> str:
        return self.view.cases[_number(request, "case", len(self.view.cases))]

    def _slice(self, request: Request) -> tuple[str, int]:
        case = self._case(request)
        return case, _number(request, "k", self.view.extent(case)[1] + 1)


def _number(request: Request, name: str, most: int) -> int:
    value = int(request.path_params[name])
    if not 0 <= value < most:
        raise HTTPException(404, "There is no such item.")
    return value


def _picture(data: bytes | None) -> Response:
    if data is None:
        raise HTTPException(404, "There is no image.")
    return Response(data, media_type="image/png")


def _asset(package: str, name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(_: Request) -> Response:
        text = importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")
        return Response(text, media_type=kind)

    return send


async def _nothing(_: Request) -> Response:
    raise HTTPException(404, "There is nothing at this address.")


async def _body(request: Request) -> dict[str, Any]:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > BODY_MAX:
            raise HTTPException(413, "That is too long for a decision.")
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "That is no JSON.") from error
    if not isinstance(entry, dict):
        raise HTTPException(400, "A decision is a JSON object.")
    return entry


def _answer(
    does: Callable[[Request], Awaitable[Any]], guard: Guard
) -> Callable[[Request], Awaitable[Response]]:
    """A handler that lets in whom the guard lets in, and says in words what is wrong."""

    async def answer(request: Request) -> Response:
        response = guard.check(request) or await _done(does, request)
        response.headers.update(_HEADERS)
        return response

    return answer


async def _done(does: Callable[[Request], Awaitable[Any]], request: Request) -> Response:
    try:
        result = await does(request)
    except HTTPException as error:
        return _refused(error.status_code, error.detail)
    except StaleError as error:
        return _refused(409, str(error))
    except InputError as error:
        return _refused(422, str(error))
    return result if isinstance(result, Response) else JSONResponse(result)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Parameters
    ----------
    host : str
        A name or an address of this machine.
    port : int
        0 for any free one.

    Raises
    ------
    InputError
        If the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"{host}:{port}: cannot be listened on: {error.strerror or error}. Name another --port."
        ) from error
    return listener


def addresses(host: str, port: int) -> list[str]:
    """What the header ``Host`` may say of a server that listens there.

    Parameters
    ----------
    host : str
        As of `bind`.
    port : int
        The one that it got.

    Returns
    -------
    list of str
        Of this machine alone three, else the one.
    """
    names = ["127.0.0.1", "localhost", "[::1]"] if host in {"127.0.0.1", "::1"} else [host]
    return [f"{name}:{port}" for name in names]


def serve(session: Session, listener: socket.socket, guard: Guard) -> None:
    """Answer until Ctrl-C.

    Parameters
    ----------
    session : Session
        The queue and what was decided.
    listener : socket
        As of `bind`.
    guard : Guard
        Says which requests are answered.
    """
    config = uvicorn.Config(
        make_app(session, guard), log_level="warning", server_header=False, access_log=False
    )
    uvicorn.Server(config).run(sockets=[listener])
