# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is made of answers that come from no API server."""

from __future__ import annotations

import http.server
import threading

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

PAGE = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def answering():
    """A cluster whose server always gives one answer."""
    servers = []

    def cluster(status, headers, content):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return Cluster({"host": f"http://127.0.0.1:{server.server_port}", "api_key": "made up"}, retry_time=0)

    yield cluster
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "headers", "content", "what"),
    [
        (200, PAGE, b"<html>log in</html>", r"HTTP 200, text/html"),
        (200, {}, b"", r"HTTP 200, no content type"),
        (200, {"Content-Type": "application/json"}, b'"fine"', r"HTTP 200, application/json"),
        (302, {"Location": "https://login.example.org/?state=abc"}, b"", r"no content type, which leads to login.exam"),
        (404, PAGE, b"<html>no such page</html>", r"HTTP 404, text/html"),
        (401, PAGE, b"<html>log in</html>", r"HTTP 401, text/html"),
    ],
)
def test_what_is_no_api_server_is_told_with_a_remedy(answering, status, headers, content, what):
    cluster = answering(status, headers, content)
    for ask in (
        lambda: cluster.kind("example.com/v1", "Foo"),
        lambda: cluster.get(KNOWN["", "Secret"], "a", "shop"),
        lambda: cluster.list(KNOWN["", "Secret"]),
    ):
        with pytest.raises(
            MeshopsError, match=rf"http://127.0.0.1:\d+ does not answer as an API server .*{what}"
        ) as told:
            ask()
        assert not isinstance(told.value, ApiError)
        assert "the server address of the kubeconfig" in str(told.value)
        assert "no login page or proxy" in str(told.value)
        assert "abc" not in str(told.value)


def test_an_api_servers_answers_are_taken_as_they_are(answering):
    assert answering(200, {}, b'{"gitVersion": "v1.34.4"}').server_version() == "v1.34.4"
    assert answering(200, {"Content-Type": "text/plain"}, b"a line").logs("shop", "web") == "a line"
    assert answering(404, {"Content-Type": "text/plain"}, b"404 page not found").list(KNOWN["", "Secret"]) == []
    with pytest.raises(ApiError) as told:
        answering(503, PAGE, b"<html>try again</html>").server_version()
    assert told.value.status == 503, "a load balancer says so of an API server that is away"


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_a_number_that_json_lacks_is_not_sent(answering, number):
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "shop"},
        "data": {"a": number},
    }
    with pytest.raises(MeshopsError, match=r"a number that JSON has no word for \(.inf or .nan\): quote it"):
        answering(500, {}, b"").apply(obj)
