# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs one command in a container, over a WebSocket: what C(kubectl exec) does, without input.

The official package's client does not send who is impersonated. It is created again for each command, loads
certificates included, which is most of the time where hundreds of proxies are asked. Here a command costs one
connection.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import struct
import time
import typing as t

#: The channels of the protocol v4.channel.k8s.io, by the first byte of a message.
STDOUT, STDERR, STATUS = 1, 2, 3
_CLOSE, _PING, _PONG = 8, 9, 10


class Refused(Exception):
    """The API server, or the node, doesn't run the command; the text says why.

    :ivar status: HTTP status of the answer; 0 where there was none
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def run(
    connection: http.client.HTTPConnection, path: str, headers: t.Mapping[str, str], timeout: float
) -> dict[int, str] | None:
    """What the command wrote, and its status, by channel; None where it took too long.

    :param connection: a new connection to the API server; it is closed at the end
    :param path: of the pod's C(exec), with its query
    :raises Refused: it could not be started
    """
    deadline = time.monotonic() + timeout
    try:
        reader = _upgrade(connection, path, headers)
        found: dict[int, bytes] = {}
        for message in _messages(connection, reader, deadline):
            if message:
                found[message[0]] = found.get(message[0], b"") + message[1:]
        return {channel: data.decode(errors="replace") for channel, data in found.items()}
    except TimeoutError:
        return None
    except (OSError, http.client.HTTPException) as error:
        raise Refused(str(error) or type(error).__name__) from error
    finally:
        connection.close()


def _upgrade(connection: http.client.HTTPConnection, path: str, headers: t.Mapping[str, str]) -> t.Any:
    """Makes a WebSocket of a connection, and gives what it is read from."""
    asked = [
        *headers.items(),  # one of a name may come several times
        *{
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
        }.items(),
    ]
    connection.putrequest("GET", path)
    for name, value in asked:
        connection.putheader(name, value)
    connection.endheaders()
    # urllib3's own method reads the answer to its end.
    answer = http.client.HTTPConnection.getresponse(connection)
    if answer.status == http.client.SWITCHING_PROTOCOLS:
        return answer.fp
    body = answer.read().decode(errors="replace")
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        message = f"{answer.status} {answer.reason}: {body.strip()[:300]}"
    raise Refused(message, answer.status)


def _messages(connection: http.client.HTTPConnection, reader: t.Any, deadline: float) -> t.Iterator[bytes]:
    """The messages until the server closes.

    :raises TimeoutError: it doesn't before the deadline
    """
    message = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.sock.settimeout(left)
        first, second = _exactly(reader, 2)
        final, kind, length = first & 0x80, first & 0x0F, second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", _exactly(reader, 2))
        elif length == 127:
            (length,) = struct.unpack(">Q", _exactly(reader, 8))
        data = _exactly(reader, length)
        if kind == _CLOSE:
            return
        if kind == _PING:
            connection.sock.sendall(_masked(_PONG, data))
        elif kind != _PONG:
            message += data
            if final:
                yield message
                message = b""


def _exactly(reader: t.Any, size: int) -> bytes:
    data = reader.read(size)
    if len(data) < size:
        raise ConnectionError("the connection was cut")
    return data


def _masked(kind: int, data: bytes) -> bytes:
    """A frame as a client must send it; control frames are short."""
    mask = os.urandom(4)
    return bytes([0x80 | kind, 0x80 | len(data)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))
