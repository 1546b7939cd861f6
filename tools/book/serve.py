"""Serve the built site on this machine; build it anew, and reload the pages that are open, when a source has changed.

Run by `make serve`. Changes are looked for every second. A build that fails says why, and the site of before is served.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from make_site import SITE, SOURCES, source_files

VERSION = "/site-version"
RELOAD = f"""<script>
let version;
setInterval(async () => {{
  const found = await (await fetch("{VERSION}")).text();
  if (version && found !== version) location.reload();
  version = found;
}}, 1000);
</script></head>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and writes no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path, handler: type[Quiet] = Quiet, port: int = 0) -> Iterator[str]:
    """Serve a folder on loopback; yield its address, with a slash at the end. Port 0 is any that is free."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(handler, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class Handler(Quiet):
    """Serves the site; its pages ask every second whether there is a newer one."""

    builds = 1

    def do_GET(self) -> None:
        """Send a file, or the number of the build."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if self.path == VERSION:
            body = str(Handler.builds)
        elif path.suffix == ".html" and path.is_file():
            body = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text(encoding="utf-8"))
            body = body.replace("</head>", RELOAD, 1)  # a script that the page's policy does not know
        else:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body.encode())


def times() -> dict[Path, float]:
    """Return when each source was changed."""
    found = {}
    for path in source_files(SOURCES):
        with contextlib.suppress(FileNotFoundError):  # an editor's file, gone by now
            found[path] = path.stat().st_mtime
    return found


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    before = times()
    with served(SITE, Handler, port) as address, contextlib.suppress(KeyboardInterrupt):
        print(f"{address} until Ctrl-C; changes of the sources are built at once")
        while True:
            time.sleep(1)
            now = times()
            if now != before:
                before = now
                build = Path(__file__).with_name("make_site.py")
                if subprocess.run([sys.executable, build], check=False).returncode == 0:
                    Handler.builds += 1


if __name__ == "__main__":
    main()
