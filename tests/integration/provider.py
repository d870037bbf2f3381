# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API server as a cloud provider runs it: its version has a suffix, such as -gke.1080000."""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import pathlib
import ssl
import threading
import urllib.parse
from collections.abc import Iterator

import yaml

_HOP_BY_HOP = {"connection", "host", "accept-encoding", "transfer-encoding", "content-length"}


def _file(entry: dict, name: str, folder: pathlib.Path) -> str | None:
    """The path of what a kubeconfig has as a path or as data."""
    if f"{name}-data" in entry:
        path = folder / name
        path.write_bytes(base64.b64decode(entry[f"{name}-data"]))
        return str(path)
    return entry.get(name)


@contextlib.contextmanager
def with_suffix(kubeconfig: str, suffix: str, folder: pathlib.Path) -> Iterator[str]:
    """The path of a kubeconfig that leads to the same API server, whose version ends with a suffix."""
    config = yaml.safe_load(pathlib.Path(kubeconfig).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    address = urllib.parse.urlsplit(cluster["server"])
    context = ssl.create_default_context(cafile=_file(cluster, "certificate-authority", folder))
    certificate = _file(user, "client-certificate", folder)
    if certificate:
        context.load_cert_chain(certificate, _file(user, "client-key", folder))
    token = {"Authorization": f"Bearer {user['token']}"} if user.get("token") else {}

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            upstream = http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=60)
            upstream.request(self.command, self.path, body or None, {**headers, **token})
            answer = upstream.getresponse()
            content = answer.read()
            if self.path.partition("?")[0] == "/version":
                version = json.loads(content)
                content = json.dumps({**version, "gitVersion": f"{version['gitVersion']}{suffix}"}).encode()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            upstream.close()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

        def log_message(self, *_arguments) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = {"server": f"http://127.0.0.1:{server.server_address[1]}"}
        path = folder / "provider.kubeconfig"
        config["clusters"][0]["cluster"], config["users"][0]["user"] = there, {}
        path.write_text(json.dumps(config))
        yield str(path)
        server.shutdown()
