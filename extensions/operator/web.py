# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's own little server: C(/metrics), and C(/healthz) for the kubelet."""

from __future__ import annotations

import http.server
import threading
import typing as t


def serve(port: int, metrics: t.Callable[[], str], trouble: t.Callable[[], str]) -> http.server.ThreadingHTTPServer:
    """Begins to serve, in a thread of its own.

    :param metrics: gives the text of C(/metrics)
    :param trouble: says why the controller isn't well; empty where it is
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, metrics(), "text/plain; version=0.0.4")
            elif path == "/healthz":
                found = trouble()
                self._answer(503 if found else 200, found or "ok")
            else:
                self._answer(404, "nothing here")

        def _answer(self, code: int, text: str, kind: str = "text/plain") -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: t.Any) -> None:
            """Probes every few seconds are no news."""

    server = http.server.ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="web", daemon=True).start()
    return server
