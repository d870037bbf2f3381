# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A proxy that refuses, fails and cuts connections: nothing is lost, nothing is done twice, all is reported."""

from __future__ import annotations

import collections
import http.server
import random
import socket
import struct
import threading
import time
import urllib.parse

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import Unreachable
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.objects.result import ObjectsFailed

VIRTUAL_SERVICE = KNOWN["networking.istio.io", "VirtualService"]


class Proxy:
    """Stands before the API server and does to each request what C(fault) says.

    :ivar fault: from method and path to None, "429", "500", "500 after", "cut", "cut after"; "after" means that the
        API server got the request, and only its answer is lost
    :ivar log: (method, path, fault, time) of each request
    """

    def __init__(self, kubeconfig, folder):
        with open(kubeconfig, encoding="utf-8") as file:
            config = yaml.safe_load(file)
        self.target = config["clusters"][0]["cluster"]["server"]
        upstream = Cluster({"kubeconfig": kubeconfig})
        self.pool, self.credentials = upstream._pool, upstream._headers(None)
        self.fault = lambda method, path: None
        self.log = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args):
                pass

            def _serve(self):
                path = urllib.parse.urlsplit(self.path).path
                fault = outer.fault(self.command, path)
                outer.log.append((self.command, path, fault, time.monotonic()))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if fault == "cut":
                    return self._cut()
                if fault == "429":
                    return self._answer(429, b'{"message": "too many requests"}', {"Retry-After": "1"})
                if fault == "500":
                    return self._answer(500, b'{"message": "etcd is away"}', {})
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                headers.update({k: v for k, v in outer.credentials.items() if k.lower() == "authorization"})
                answer = outer.pool.request(self.command, outer.target + self.path, body=body or None, headers=headers)
                if fault == "cut after":
                    return self._cut()
                if fault == "500 after":
                    return self._answer(500, b'{"message": "etcd is away"}', {})
                return self._answer(answer.status, answer.data, {"Content-Type": "application/json"})

            def _answer(self, status, data, headers):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def _cut(self):
                linger = struct.pack("ii", 1, 0)  # close with a reset
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True

            do_GET = do_POST = do_PATCH = do_DELETE = _serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def cluster(self, **options):
        return Cluster({"host": self.url}, **options)


@pytest.fixture
def proxy(kubeconfig, tmp_path):
    found = Proxy(kubeconfig, tmp_path)
    yield found
    found.server.shutdown()
    found.server.server_close()


def virtual_services(namespace, count=40):
    return [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": f"vs-{n}", "namespace": namespace},
            "spec": {"hosts": [f"vs-{n}"], "http": [{"route": [{"destination": {"host": f"vs-{n}"}}]}]},
        }
        for n in range(count)
    ]


def test_all_kinds_of_faults(proxy, reconcile, cluster, namespace):
    chance = random.Random(7)
    faults = ["429", "500", "500 after", "cut", "cut after"]
    proxy.fault = lambda method, path: chance.choice(faults) if chance.random() < 0.4 else None
    wanted = virtual_services(namespace)

    created = reconcile(wanted, on=proxy.cluster())
    assert created["summary"]["created"] + created["summary"]["unchanged"] == len(wanted)
    assert {fault for *_rest, fault, _time in proxy.log} == {*faults, None}
    live = cluster.list(VIRTUAL_SERVICE, namespace)
    assert {o["metadata"]["name"] for o in live} == {o["metadata"]["name"] for o in wanted}
    assert {o["metadata"]["generation"] for o in live} == {1}, "nothing is written twice"

    before = {o["metadata"]["resourceVersion"] for o in live}
    assert not reconcile(wanted, on=proxy.cluster())["changed"]
    assert {o["metadata"]["resourceVersion"] for o in cluster.list(VIRTUAL_SERVICE, namespace)} == before

    deleted = reconcile(wanted, on=proxy.cluster(), state="absent")
    assert deleted["summary"]["deleted"] == len(wanted)
    assert cluster.list(VIRTUAL_SERVICE, namespace) == []


def test_retry_after_is_kept_to(proxy, reconcile, namespace):
    seen = collections.Counter()

    def once(method, path):
        seen[method, path] += 1
        return "429" if method == "PATCH" and seen[method, path] == 1 else None

    proxy.fault = once
    assert reconcile(virtual_services(namespace, 3), on=proxy.cluster())["summary"]["created"] == 3
    for path in {path for method, path, _fault, _time in proxy.log if method == "PATCH"}:
        first, second = [when for method, p, _fault, when in proxy.log if (method, p) == ("PATCH", path)]
        assert second - first >= 1


def test_a_lasting_failure_is_reported_object_by_object(proxy, reconcile, cluster, namespace):
    wanted = virtual_services(namespace, 6)
    proxy.fault = lambda method, path: "500" if path.endswith(("vs-1", "vs-4")) else None
    with pytest.raises(ObjectsFailed) as failure:
        reconcile(wanted, on=proxy.cluster(), wait_timeout=2)
    result = failure.value.result
    assert [e["name"] for e in result["objects"] if e["action"] == "failed"] == ["vs-1", "vs-4"]
    assert all("etcd is away" in e["error"] for e in result["objects"] if e["action"] == "failed")
    assert result["summary"]["created"] == 4
    proxy.fault = lambda method, path: None
    assert reconcile(wanted, on=proxy.cluster())["summary"] == {
        "created": 2,
        "updated": 0,
        "deleted": 0,
        "unchanged": 4,
        "failed": 0,
    }


def test_a_server_that_comes_back_within_the_tasks_time_is_waited_for(proxy, reconcile, namespace):
    back = time.monotonic() + 3
    proxy.fault = lambda method, path: "500" if time.monotonic() < back else None
    result = reconcile(virtual_services(namespace, 3), on=proxy.cluster(retry_time=1), wait_timeout=30)
    assert result["summary"]["created"] == 3


def test_the_whole_task_ends_in_its_time(proxy, reconcile, namespace):
    proxy.fault = lambda method, path: "500" if method == "PATCH" else None
    with pytest.raises(ObjectsFailed) as failure:
        reconcile(virtual_services(namespace, 100), on=proxy.cluster(concurrency=4), wait_timeout=2)
    assert failure.value.result["summary"]["failed"] == 100
    attempts = collections.Counter(path for method, path, *_rest in proxy.log if method == "PATCH")
    assert min(attempts.values()) == 1, "when the time is over, what is left is tried once"


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port} does not answer .*check that the cluster runs"):
        Cluster({"host": f"http://127.0.0.1:{port}"}, retry_time=300).list(VIRTUAL_SERVICE)
    assert time.monotonic() - begin < 100, "no use in trying again"


def test_an_untrusted_certificate_is_told_at_once(kubeconfig):
    with open(kubeconfig, encoding="utf-8") as file:
        url = yaml.safe_load(file)["clusters"][0]["cluster"]["server"]
    with pytest.raises(Unreachable, match="(?i)certificate"):
        Cluster({"host": url}).list(VIRTUAL_SERVICE)
