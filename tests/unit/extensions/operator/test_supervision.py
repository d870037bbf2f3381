# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Heartbeats and cancel tokens."""

from __future__ import annotations

import threading
import time

from ansible_collections.meshops.istio.extensions.operator.supervision import CancelToken, Heartbeat


def test_the_oldest_heartbeat_is_that_of_the_silent_thread():
    heartbeat = Heartbeat()
    thread = threading.Thread(target=heartbeat.beat)
    thread.start()
    thread.join()
    silent = heartbeat.oldest
    time.sleep(0.01)
    heartbeat.beat()
    assert heartbeat.oldest == silent


def test_a_thread_that_has_ended_is_not_silent():
    heartbeat = Heartbeat()
    heartbeat.beat()
    time.sleep(0.01)
    heartbeat.end()
    assert time.monotonic() - heartbeat.oldest < 0.01


def test_a_cancelled_token_stays_cancelled():
    token = CancelToken()
    assert not token.cancelled
    token.cancel()
    token.cancel()
    assert token.cancelled
