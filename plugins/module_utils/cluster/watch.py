# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watching the metadata of objects: the server sends neither spec nor data, and nothing while nothing changes."""

from __future__ import annotations

import json
import typing as t

from ..errors import MeshopsError
from .connection import connect
from .errors import ApiError, Unreachable
from .kinds import Kind

try:
    import urllib3
except ImportError:
    pass  # connect() tells the user

_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_ONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#: Seconds after which the server ends a watch, and after which a silent connection counts as cut.
_SERVER, _CLIENT = 300, 330


class Expired(MeshopsError):
    """The watch has come to its end, or its beginning is too long ago: list again."""


class MetadataWatch:
    """The metadata of all objects of a kind, in one namespace or in the cluster.

    :param params: connection options
    :param labels: a label selector
    """

    def __init__(self, params: t.Mapping[str, t.Any], kind: Kind, namespace: str | None, labels: str) -> None:
        self._connection = connect(params, pool_size=1)
        self._path = kind.path(namespace)
        self._labels = labels

    def list(self) -> tuple[list[dict[str, t.Any]], str]:
        """The metadata of all objects, and the version from which to follow.

        :raises ApiError: the server refused
        :raises Unreachable: it doesn't answer
        """
        answer = self._get({"labelSelector": self._labels}, _LIST, 60, stream=False)
        body = json.loads(answer.data)
        return [item["metadata"] for item in body["items"] or ()], body["metadata"]["resourceVersion"]

    def follow(self, version: str) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
        """Each change since a version, as C(ADDED), C(MODIFIED) or C(DELETED) with the metadata; waits for them.

        :raises Expired: always at the end
        """
        query = {
            "watch": "true", "labelSelector": self._labels, "resourceVersion": version, "timeoutSeconds": _SERVER,
            "allowWatchBookmarks": "false",
        }  # fmt: skip
        answer = self._get(query, _ONE, _CLIENT, stream=True)
        try:
            rest = b""
            for part in answer.stream(2**16, decode_content=True):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise Expired(event["object"].get("message", "the watch has ended"))
                    yield event["type"], event["object"]["metadata"]
        except urllib3.exceptions.HTTPError as error:
            raise Expired(str(error)) from error
        finally:
            answer.close()
        raise Expired("the server has ended the watch")

    def _get(self, query: dict[str, t.Any], accept: str, timeout: float, *, stream: bool) -> t.Any:
        headers = self._connection.headers()
        headers["Accept"] = accept
        try:
            answer = self._connection.pool.request(
                "GET",
                self._connection.host.rstrip("/") + self._path,
                fields=query,
                headers=headers,
                preload_content=not stream,
                timeout=urllib3.Timeout(connect=10, read=timeout),
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"the API server does not answer: {error}") from error
        if answer.status == 410:
            answer.close()
            raise Expired("the version to follow from is too old")
        if answer.status >= 400:
            text = (answer.read() if stream else answer.data).decode(errors="replace")[:300]
            raise ApiError(text, status=answer.status)
        return answer
