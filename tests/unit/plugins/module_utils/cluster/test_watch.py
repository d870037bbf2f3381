# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A watch of metadata, with answers that the test gives."""

from __future__ import annotations

import json
import types

import pytest
import urllib3
from ansible_collections.meshops.istio.plugins.module_utils.cluster import watch
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError, Unreachable
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import CONFIG_MAP


class Answer:
    def __init__(self, *parts: bytes, status: int = 200) -> None:
        self.parts, self.status, self.closed = parts, status, False

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)

    def read(self) -> bytes:
        return self.data

    def stream(self, _size, decode_content):
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def watched(monkeypatch):
    """A watch, and the answers that it gets."""
    answers, asked = [], []

    def request(_method, url, fields, headers, **_options):
        asked.append((url, fields))
        assert "PartialObjectMetadata" in headers["Accept"], "neither spec nor data are read"
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    connection = types.SimpleNamespace(host="https://a", headers=dict, pool=types.SimpleNamespace(request=request))
    monkeypatch.setattr(watch, "connect", lambda _params, pool_size: connection)
    return watch.MetadataWatch({}, CONFIG_MAP, "shop", "a=b"), answers, asked


def event(kind, name):
    return json.dumps({"type": kind, "object": {"metadata": {"name": name}}}).encode() + b"\n"


def follow(watcher):
    """The changes until a watch ends, and why it has."""
    found = []
    try:
        for change, meta in watcher.follow("7"):
            found.append((change, meta["name"]))
    except watch.Expired as ended:
        return found, str(ended)
    raise AssertionError("a watch ends with Expired")


def test_the_list_gives_the_version_to_follow(watched):
    watcher, answers, asked = watched
    answers.append(Answer(b'{"items": [{"metadata": {"name": "c"}}], "metadata": {"resourceVersion": "7"}}'))
    assert watcher.list() == ([{"name": "c"}], "7")
    assert asked == [("https://a/api/v1/namespaces/shop/configmaps", {"labelSelector": "a=b"})]


def test_events_arrive_in_pieces(watched):
    watcher, answers, asked = watched
    text = event("ADDED", "a") + event("DELETED", "b")
    answer = Answer(text[:10], text[10:70], text[70:])
    answers.append(answer)
    found, _why = follow(watcher)
    assert found == [("ADDED", "a"), ("DELETED", "b")]
    assert asked[0][1]["resourceVersion"] == "7"
    assert answer.closed


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(status=410), "too old"),
        (Answer(b'{"type": "ERROR", "object": {"message": "too old resource version"}}\n'), "too old resource version"),
        (Answer(urllib3.exceptions.ProtocolError("cut")), "cut"),
        (Answer(), "the server has ended the watch"),
    ],
)
def test_a_watch_that_ends_says_why(watched, answer, why):
    watcher, answers, _asked = watched
    answers.append(answer)
    found, text = follow(watcher)
    assert found == []
    assert why in text


def test_refusals_and_silence_are_errors(watched):
    watcher, answers, _asked = watched
    answers += [Answer(b"no", status=403), urllib3.exceptions.HTTPError("refused")]
    with pytest.raises(ApiError) as refused:
        watcher.list()
    assert refused.value.status == 403
    with pytest.raises(Unreachable, match="does not answer"):
        watcher.list()
