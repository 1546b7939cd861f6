"""HTTP servers on loopback, each with its own way of serving a file wrongly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """What one server does, and how often it was asked.

    data:     the bytes that it serves.
    status:   answered instead of the file if it is no success.
    stop:     how many bytes it sends before it closes the connection or, if `stall`, falls silent.
    requests: how many requests came.
    """

    def __init__(self, data: bytes, *, status: int = 200, stop: int | None = None, stall: bool = False) -> None:
        self.data, self.status, self.stop, self.stall = data, status, stop, stall
        self.requests = 0
        self.released = threading.Event()  # ends a stall at the end of the test

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests += 1
        if self.status >= 400:
            handler.send_error(self.status)
            return
        handler.send_response(self.status)
        handler.send_header("Content-Type", "application/x-gzip")
        handler.send_header("Content-Length", str(len(self.data)))
        handler.end_headers()
        handler.wfile.write(self.data[: self.stop])
        if self.stall:
            self.released.wait(30)


@contextmanager
def serve(mirror: Mirror) -> Iterator[str]:
    """Serve on a free port of loopback; gives the address of the archive."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.answer(self)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/cifar-10-python.tar.gz"
    finally:
        mirror.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
