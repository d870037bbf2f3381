# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In how few requests live objects are read."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.cluster.live import Live
from hypothesis import given
from hypothesis import strategies as st

VIRTUAL_SERVICE = KNOWN["networking.istio.io", "VirtualService"]
NAMESPACE = KNOWN["", "Namespace"]


class Server:
    """Stands for a Cluster that holds an object for every (kind, namespace, name) in C(objects)."""

    concurrency = 4

    def __init__(self, objects, refuse=lambda kind, namespace: None):
        self.objects, self.refuse, self.asked = objects, refuse, []

    def pages(self, kind, namespace=None, labels=None):
        self.asked.append(("LIST", kind.kind, namespace, labels))
        if error := self.refuse(kind, namespace):
            raise error
        found = [o for o in self.objects if o[0] == kind.kind and namespace in (None, o[1])]
        for start in range(0, len(found), 3):
            yield found[start : start + 3]

    def request(self, method, path):
        self.asked.append((method, path))
        found = [o for o in self.objects if path.endswith(f"/{o[2]}") and (not o[1] or f"/{o[1]}/" in path)]
        if not found:
            raise ApiError("not found", status=404)
        return found[0]

    def served(self, kind):
        return None


def names(count):
    return {f"n{i}" for i in range(count)}


@pytest.mark.parametrize(
    ("wanted", "requests"),
    [
        ({"a": names(1)}, {("GET", VIRTUAL_SERVICE.path("a", "n0"))}),
        ({"a": names(5)}, {("LIST", "VirtualService", "a", None)}),
        ({"a": names(5), "b": names(5)}, {("LIST", "VirtualService", ns, None) for ns in "ab"}),
        ({f"x{n}": names(5) for n in range(11)}, {("LIST", "VirtualService", None, None)}),
        ({f"x{n}": names(4) for n in range(11)}, {("LIST", "VirtualService", None, None)}),
    ],
)
def test_few_are_read_one_by_one_many_by_lists(wanted, requests):
    server = Server([])
    assert list(Live(server, {VIRTUAL_SERVICE: wanted})) == []
    assert set(server.asked) == requests


def test_a_label_costs_one_list_for_a_kind_that_is_not_listed_anyway():
    server = Server([])
    list(Live(server, {VIRTUAL_SERVICE: {"a": names(1)}}, "owner=x", [VIRTUAL_SERVICE, NAMESPACE]))
    assert ("LIST", "VirtualService", None, "owner=x") in server.asked
    assert ("LIST", "Namespace", None, "owner=x") in server.asked


def test_without_the_right_to_list_all_namespaces():
    def refuse(kind, namespace):
        return None if namespace else ApiError("forbidden", status=403)

    objects = [("VirtualService", f"x{n}", "n0") for n in range(11)]
    server = Server(objects, refuse)
    assert sorted(Live(server, {VIRTUAL_SERVICE: {f"x{n}": names(5) for n in range(11)}})) == sorted(objects)


def test_an_unserved_kind_is_told_and_nothing_is_lost():
    server = Server([], lambda kind, namespace: ApiError("no such page", status=404, unserved=True))
    live = Live(server, {VIRTUAL_SERVICE: {"a": names(5)}})
    assert list(live) == []
    assert live.unserved == {VIRTUAL_SERVICE}


def test_what_a_label_finds_is_read_in_the_version_that_the_server_has():
    new, old = (
        Kind("gateway.networking.k8s.io", version, "ReferenceGrant", "grants", True) for version in ("v1", "v1beta1")
    )
    unserved = ApiError("no such page", status=404, unserved=True)
    server = Server([("ReferenceGrant", "a", "n0")], lambda kind, namespace: unserved if kind == new else None)
    server.served = lambda kind: old
    assert list(Live(server, {}, "owner=x", [new])) == [("ReferenceGrant", "a", "n0")]


def test_a_refusal_ends_the_reading():
    server = Server([], lambda kind, namespace: ApiError("forbidden", status=403))
    with pytest.raises(ApiError):
        list(Live(server, {VIRTUAL_SERVICE: {"a": names(5), "b": names(5)}}))


@given(st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 9), min_size=1))
def test_every_wanted_object_is_found(counts):
    objects = [("VirtualService", namespace, f"n{i}") for namespace, count in counts.items() for i in range(count)]
    wanted = {namespace: names(count) for namespace, count in counts.items()}
    assert set(Live(Server(objects), {VIRTUAL_SERVICE: wanted})) == set(objects)
