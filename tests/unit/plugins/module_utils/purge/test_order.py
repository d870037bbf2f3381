# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of a purge: every object has its step, and the steps are in the order that keeps a cluster working."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Evidence, Item, Part, Reason
from ansible_collections.meshops.istio.plugins.module_utils.purge.order import STEPS, Shared, by_step, step_of
from hypothesis import given
from hypothesis import strategies as st

NAMES = [step.name for step in STEPS]
PARTS = [part for part in t.get_args(Part) if part]
KINDS = [
    "Deployment",
    "DaemonSet",
    "Service",
    "ConfigMap",
    "Gateway",
    "HTTPRoute",
    "GatewayClass",
    "Namespace",
    "Secret",
]
ITEMS = st.builds(
    lambda part, kind, released: Item(
        part, "delete", "gateway.networking.k8s.io/v1", kind, "istio-system", "x",
        (Evidence(Reason.HELM_RELEASE, "r"),) if released else (),
    ),
    st.sampled_from(PARTS), st.sampled_from(KINDS), st.booleans(),
)  # fmt: skip


def position(part, kind="ConfigMap", name="x", shared=None, api="v1"):
    return NAMES.index(step_of(Item(part, "delete", api, kind, "istio-system", name, ()), shared or Shared()).name)


@given(st.lists(ITEMS, max_size=20))
def test_every_object_has_exactly_one_step(items):
    assert sorted(map(id, (item for _step, some in by_step(items) for item in some))) == sorted(map(id, items))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("operators", "Deployment"), ("webhooks", "ValidatingWebhookConfiguration")),
        (("webhooks", "MutatingWebhookConfiguration"), ("sidecars", "Deployment")),
        (("gateways", "Service"), ("gateways", "Deployment")),
        (("control_plane", "Deployment"), ("control_plane", "ConfigMap")),
        (("control_plane", "Deployment"), ("gateway_api", "GatewayClass")),
        (("mesh_objects", "VirtualService"), ("crds", "CustomResourceDefinition")),
        (("crds", "CustomResourceDefinition"), ("cni", "DaemonSet")),
        (("cni", "DaemonSet"), ("releases", "Secret")),
    ],
)
def test_what_comes_first(earlier, later):
    assert position(*earlier) < position(*later)


def test_a_namespace_waits_for_what_is_needed_in_it():
    shared = Shared(frozenset({"ops"}), frozenset({"net"}))
    own, operators, cni = (position("namespaces", "Namespace", name, shared) for name in ("mesh", "ops", "net"))
    assert own < position("crds") < operators < position("cni") < cni


def test_steps_wait_only_for_earlier_ones():
    for number, step in enumerate(STEPS):
        assert set(step.after) <= set(NAMES[:number])
