# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's HTTP endpoints."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from ansible_collections.meshops.istio.extensions.operator import web


@pytest.fixture
def ask():
    troubles = [""]
    server = web.serve(0, lambda: "metric 1\n", lambda: troubles[0])

    def get(path: str, trouble: str = "") -> tuple[int, str]:
        troubles[0] = trouble
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    yield get
    server.shutdown()
    server.server_close()


def test_metrics(ask):
    assert ask("/metrics?name=x") == (200, "metric 1\n")


def test_health(ask):
    assert ask("/healthz") == (200, "ok")
    assert ask("/healthz", "a thread is stuck") == (503, "a thread is stuck")


def test_other_paths_are_not_found(ask):
    assert ask("/")[0] == 404
