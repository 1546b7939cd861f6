"""Real HTTP servers on loopback, each with its own way of serving a file wrongly; shared by the tests of downloads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """What one server does, and what was asked of it.

    data:      the bytes that it serves.
    kind:      the content type.
    status:    answered instead of the file if it is no success.
    ranges:    whether Range is honoured.
    length:    the Content-Length that it claims; None claims the true one, "none" sends no such header.
    stop:      how many bytes a connection sends before it ends ("close") or falls silent ("stall"), by `then`.
    stops:     how many connections do so; the later ones send everything.
    pace:      so many bytes at a time, and so many seconds to wait after them; None sends all at once.
    total:     what Content-Range says of the file's length; None says the true one.
    location:  answer with a redirection to there.
    requests:  the Range header (or None) of each request, in their order.
    sent:      all body bytes sent.
    """

    def __init__(self, data: bytes, **options) -> None:
        self.data, self.kind, self.status, self.ranges = data, "application/x-gzip", 200, True
        self.location: str | None = None
        self.total: str | None = None
        self.pace: tuple[int, float] | None = None
        self.length, self.stop, self.then, self.stops = None, None, "close", 10**9
        self.whole_range = False  # answer 206 with the wrong part: the bytes from half of it on, whatever was asked
        for name, value in options.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        self.requests: list[str | None] = []
        self.sent = 0
        self.released = threading.Event()  # ends a stall at the end of the test

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.requests.append(asked)
        if self.status >= 400:
            handler.send_error(self.status)
            return
        if self.location:
            handler.send_response(302)
            handler.send_header("Location", self.location)
            handler.end_headers()
            return
        start = 0
        if self.ranges and asked:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.data):
                handler.send_error(416)
                return
        if self.whole_range:
            start = len(self.data) // 2
        body = self.data[start:]
        handler.send_response(206 if start else 200)
        if start:
            total = self.total or len(self.data)
            handler.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{total}")
        handler.send_header("Content-Type", self.kind)
        if self.length != "none":
            handler.send_header("Content-Length", str(self.length or len(body)))
        handler.end_headers()
        broken = self.stop is not None and self.stops > 0
        if broken:
            self.stops -= 1
            body = body[: self.stop]
        self.send(handler, body)
        if broken and self.then == "stall":
            self.released.wait(30)

    def send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        count, seconds = self.pace or (len(body) or 1, 0)
        for start in range(0, len(body), count):
            try:
                handler.wfile.write(body[start : start + count])
            except OSError:  # whoever asked has gone
                return
            self.sent += len(body[start : start + count])
            self.released.wait(seconds)


@contextmanager
def serve(mirror: Mirror) -> Iterator[str]:
    """Serve on a free port of loopback; gives the address of the archive."""
    with _server(lambda path: mirror, [mirror]) as address:
        yield f"{address}/cifar-10-python.tar.gz"


@contextmanager
def serve_files(mirrors: dict[str, Mirror]) -> Iterator[str]:
    """Serve files by their names; gives the address of the folder that they are in, with a slash at the end."""
    missing = Mirror(b"", status=404)
    with _server(lambda path: mirrors.get(path.rsplit("/", 1)[1], missing), mirrors.values()) as address:
        yield f"{address}/folder/"


@contextmanager
def _server(choose: Callable[[str], Mirror], mirrors: Iterable[Mirror]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            choose(self.path).answer(self)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        for mirror in mirrors:
            mirror.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
