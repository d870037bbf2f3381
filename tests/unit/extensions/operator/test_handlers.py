# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kopf reports reaches the keeper; a removal that has to wait is tried again."""

from __future__ import annotations

import kopf
import pytest
from ansible_collections.meshops.istio.extensions.operator import handlers
from ansible_collections.meshops.istio.extensions.operator.documents import IGNORE
from ansible_collections.meshops.istio.extensions.operator.removal import StillUsed
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from fakes.istio_operators import fail_with, obj


class Keeper:
    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.error: Exception | None = None

    def noticed(self, body):
        self.calls.append(("noticed", body["metadata"]["name"]))

    def gone(self, namespace, name):
        self.calls.append(("gone", namespace, name))

    def remove(self, namespace, name):
        self.calls.append(("remove", namespace, name))
        fail_with(self.error)


@pytest.fixture
def keeper():
    return Keeper()


@pytest.fixture
def registered(keeper):
    registry = kopf.OperatorRegistry()
    handlers.register(registry, keeper)
    return registry


def only(handlers_of):
    (handler,) = handlers_of._handlers
    return handler


def test_events_reach_the_keeper(registered, keeper):
    seen = only(registered._watching).fn
    seen(event={"type": "ADDED"}, body=obj(), namespace="istio-system", name="mesh")
    seen(event={"type": "DELETED"}, body=obj(), namespace="istio-system", name="mesh")
    assert keeper.calls == [("noticed", "mesh"), ("gone", "istio-system", "mesh")]


@pytest.mark.parametrize(("error", "delay"), [(StillUsed("used"), 15), (MeshopsError("no"), 40)])
def test_a_removal_that_has_to_wait_is_tried_again(registered, keeper, error, delay):
    keeper.error = error
    with pytest.raises(kopf.TemporaryError) as raised:
        only(registered._changing).fn(namespace="istio-system", name="mesh", retry=2)
    assert raised.value.delay == delay


def test_an_ignored_object_has_no_deletion_handler(registered):
    handler = only(registered._changing)
    ignored = obj()
    ignored["metadata"]["annotations"] = {IGNORE: "true"}
    assert not handler.when(body=ignored)
    assert handler.when(body=obj())
