"""The page's server: only for this machine, and for those who know the token in its address.

Another page, open in the same browser, could also send requests here. So each request has to name this machine as its
host (otherwise a name that resolves to 127.0.0.1 would do), to come from this page if it states its origin, to declare
its body as JSON, and to know the token. Nothing that a page sends is a path, or is executed.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from pixkit.errors import PixkitError, UsageError, message, reason
from pixkit.studio.asked import Asked, CancelAsked, DrawAsked, ImageAsked, SightAsked
from pixkit.studio.desk import Cancelled
from pixkit.studio.events import Event
from pixkit.studio.studio import Studio

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""Names of this machine in a browser; the port may differ, as through an SSH tunnel."""
PATIENCE = 30.0
"""Seconds that a request may take to arrive."""
PAGE = ("index.html", "studio.css", "studio.js", "drawing.js", "pictures.js", "server.js")
"""The files; the first is the page itself."""
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class StudioServer(ThreadingHTTPServer):
    """Serves a studio; call `serve_forever`, until it is closed.

    Args:
        studio: the studio.
        port: the port; 0 for any that is free.

    Raises:
        UsageError: if the port is not available.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, studio: Studio, port: int = 0) -> None:
        self.studio, self.token = studio, secrets.token_urlsafe(24)
        self.largest = 4096 + 16 * studio.spec.dims
        """The largest request in bytes: the levels and sites of an image, and some more."""
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"the page cannot be served there: {reason(error)}",
                where="port",
                found=str(port),
                expected="a port that is free",
                hint="--port 0 takes any free one",
            ) from error

    @property
    def url(self) -> str:
        """The page's address, with the token."""
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has disconnected is not an error."""


class Refused(Exception):
    """A request that is not answered: the status, and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: StudioServer
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server_version, sys_version = "pixkit", ""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: commands only print data and remarks."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, answer: Callable[[str], None]) -> None:
        try:
            answer(self._place())
        except Refused as refused:
            self._refuse(refused.status, str(refused))
        except PixkitError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, _told(error))
        except ConnectionError:
            self.close_connection = True
        except Exception as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, _told(error))

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # the rest of the request is not read
        with suppress(OSError):
            self._send(status, "application/json", json.dumps({"error": why}).encode())

    def _place(self) -> str:
        """The requested path, below the token."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or _name_of(hosts[0]) not in NAMES:
            raise Refused(HTTPStatus.FORBIDDEN, f"this page is served only to {' and '.join(NAMES)}")
        origins = self.headers.get_all("Origin", [])
        if any(origin != f"http://{hosts[0]}" for origin in origins):
            raise Refused(HTTPStatus.FORBIDDEN, "a request from another page")
        token, slash, place = self.path.removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "open the address printed by pixkit studio: it has a token")
        return place

    def _get(self, place: str) -> None:
        if place == "about":
            self._send_json(self.server.studio.about())
        elif (name := place or PAGE[0]) in PAGE:
            kind = f"{KINDS[name.rpartition('.')[2]]}; charset=utf-8"
            self._send(HTTPStatus.OK, kind, files("pixkit.studio").joinpath("page", name).read_bytes())
        else:
            raise self._unknown(place, ASKED)

    def _post(self, place: str) -> None:
        if place not in ASKED:
            raise self._unknown(place, ("", *PAGE, "about"))
        asked = self._asked(ASKED[place])
        studio = self.server.studio
        if isinstance(asked, DrawAsked):
            studio.check(asked)
            self._stream(asked)
        elif isinstance(asked, SightAsked):
            self._send_json(studio.sight(asked))
        elif isinstance(asked, ImageAsked):
            self._send_json(studio.image(asked))
        else:
            studio.desk.cancel()
            self._send_json({})

    def _unknown(self, place: str, others: Any) -> Refused:
        known = place in others
        return Refused(HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND, "there is no such thing")

    def _asked(self, schema: type[Asked]) -> Asked:
        """The request in the body."""
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "requests have to be application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "requests have to state their length")
        if len(length) > 12 or int(length) > self.server.largest:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"requests may have at most {self.server.largest} bytes")
        try:
            return schema.model_validate_json(self.rfile.read(int(length)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise Refused(HTTPStatus.BAD_REQUEST, f"{where}: {first['msg']}".removeprefix(": ")) from None

    def _stream(self, asked: DrawAsked) -> None:
        """A line of JSON for each event, as it occurs; the last one is `end`, `cancelled` or `error`."""
        self.send_response(HTTPStatus.OK)
        self._send_headers("application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            with self.server.studio.desk.working() as job:

                def tell(event: Event) -> None:
                    job.check()
                    self._write(event)

                self.server.studio.draw(asked, tell)
        except Cancelled:
            self._write({"event": "cancelled"})
        except Exception as error:  # one of the connection is raised again by writing
            self._write({"event": "error", "error": _told(error)})
        self.wfile.write(b"0\r\n\r\n")

    def _write(self, event: Event) -> None:
        """Write a chunk: one line."""
        line = json.dumps(event, allow_nan=False).encode() + b"\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))

    def _send_json(self, data: Event) -> None:
        self._send(HTTPStatus.OK, "application/json", json.dumps(data, allow_nan=False).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self._send_headers(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_headers(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        for name, value in HEADERS.items():
            self.send_header(name, value)


ASKED: dict[str, type[Asked]] = {"draw": DrawAsked, "sight": SightAsked, "image": ImageAsked, "cancel": CancelAsked}


def _name_of(host: str) -> str | None:
    """The name in a Host header; None if it has none."""
    with suppress(ValueError):
        return urlsplit(f"//{host}").hostname
    return None


def _told(error: Exception) -> str:
    """An error in a line, with its type unless it is pixkit's."""
    return message(error) if isinstance(error, PixkitError) else f"{type(error).__name__}: {message(error)}"


def serve(server: StudioServer) -> None:
    """Serve until interrupted, preparing the plan meanwhile; then close, and cancel computations."""
    threading.Thread(target=server.studio.prepare, daemon=True).start()
    try:
        server.serve_forever()
    finally:
        server.server_close()
        server.studio.desk.close()
