# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands in pods over a WebSocket, against a server that speaks it, or breaks it."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster import pod_exec
from ansible_collections.meshops.istio.plugins.module_utils.cluster.auth import one_context
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
SUCCESS = b"\x03" + json.dumps({"status": "Success"}).encode()
CLOSE = bytes([0x88, 0])


def frame(data, kind=2, final=True):
    head = bytes([(0x80 if final else 0) | kind])
    if len(data) < 126:
        return head + bytes([len(data)]) + data
    if len(data) < 65536:
        return head + bytes([126]) + struct.pack(">H", len(data)) + data
    return head + bytes([127]) + struct.pack(">Q", len(data)) + data


@pytest.fixture
def server():
    """Answers one connection with given bytes; keeps what it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent = {}

    def answer(reply, hold=False):
        def serve():
            here, _address = listener.accept()
            with here:
                sent["request"] = here.recv(65536)
                here.sendall(reply)
                here.settimeout(60)
                if hold:
                    sent["more"] = here.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}", thread

    answer.sent = sent
    yield answer
    listener.close()


def execute(url, timeout=60.0):
    cluster = Cluster({"host": url, "api_key": "made for this test"})
    return cluster.execute("app", "web-1", ["cat", "a b"], "istio-proxy", timeout)


@pytest.mark.parametrize("size", [0, 5, 200, 70000])
def test_what_the_command_writes_comes_back_whole(server, size):
    text = b"x" * size
    url, _thread = server(SWITCH + frame(b"\x01" + text) + frame(b"\x02some error") + frame(SUCCESS) + CLOSE)
    assert execute(url) == text.decode()
    line, *headers = server.sent["request"].decode().split("\r\n")
    assert line == (
        "GET /api/v1/namespaces/app/pods/web-1/exec?container=istio-proxy&stdout=true&stderr=true"
        "&command=cat&command=a+b HTTP/1.1"
    )
    assert "authorization: Bearer made for this test" in headers
    assert "Upgrade: websocket" in headers


@pytest.mark.parametrize("user", [{"token": "abc"}, {"username": "a", "password": "b"}])
def test_a_command_runs_as_the_impersonated_user_with_all_groups(server, user):
    """With a password the connection is the official package's, whose own exec drops these headers."""
    url, _thread = server(SWITCH + frame(b"\x01here") + frame(SUCCESS) + CLOSE)
    who = {"as": "deployer", "as-groups": ["team-a", "team-b"]}
    cluster = Cluster({"kubeconfig": one_context({"server": url}, {**user, **who})})
    assert cluster.execute("app", "web-1", ["true"]) == "here"
    headers = [line.lower() for line in server.sent["request"].decode().split("\r\n")]
    assert "impersonate-user: deployer" in headers
    assert [line for line in headers if line.startswith("impersonate-group")] == [
        "impersonate-group: team-a",
        "impersonate-group: team-b",
    ]


def test_messages_in_pieces_and_pings_between(server):
    pieces = frame(b"\x01one ", final=False) + frame(b"still there?", kind=9) + frame(b"two", kind=0)
    url, thread = server(SWITCH + pieces + frame(b"\x01 three") + frame(SUCCESS) + CLOSE, hold=True)
    assert execute(url) == "one two three"
    thread.join(60)
    pong = server.sent["more"]
    assert pong[0] == 0x8A
    assert bytes(b ^ pong[2 + i % 4] for i, b in enumerate(pong[6:18])) == b"still there?"


def failure(code, message):
    causes = [{"reason": "ExitCode", "message": str(code)}] if code else []
    return frame(
        b"\x03" + json.dumps({"status": "Failure", "message": message, "details": {"causes": causes}}).encode()
    )


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (SWITCH + frame(b"\x02no such file") + failure(2, "exit code 2") + CLOSE, "ended with 2: no such file"),
        (SWITCH + failure(None, "container not found") + CLOSE, "can't run cat in pod app/web-1: container not found"),
        (SWITCH + frame(b"\x01half"), "the connection was cut"),
        (SWITCH + b"\x82\x7e\x00", "the connection was cut"),
        (b'HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\n\r\n{"message": "no pod"}', "no pod"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nproxy", "502 Bad Gateway: proxy"),
        (b"nonsense\r\n\r\n", "can't run cat"),
    ],
)
def test_what_goes_wrong_is_said(server, reply, told):
    url, _thread = server(reply)
    with pytest.raises(MeshopsError) as caught:
        execute(url)
    assert told in str(caught.value)


def test_a_command_that_takes_too_long_is_left(server):
    url, thread = server(SWITCH + frame(b"\x01and then"), hold=True)
    with pytest.raises(MeshopsError, match=r"took longer than 1.0 s"):
        execute(url, timeout=1.0)
    thread.join(60)
    assert server.sent["more"] == b"", "the connection is closed"


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(pod_exec.Refused, match="refused"):
        pod_exec.run(http.client.HTTPConnection("127.0.0.1", port), "/", {}, 1)
