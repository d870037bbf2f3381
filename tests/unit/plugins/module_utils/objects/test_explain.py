# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user is told where none of the API server's sentences about fields is known."""

from __future__ import annotations

import base64
import types

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError, Unreachable
from ansible_collections.meshops.istio.plugins.module_utils.objects.explain import _Explainer
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import plan


def told(message, status=422, kind="Secret", cluster=None, **fields):
    obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "namespace": "shop"}, **fields}
    [change] = plan([obj], [])
    return _Explainer(cluster)(change, ApiError(message, status=status))


@pytest.mark.parametrize(
    "message",
    [
        "something new about .data.a: expected string, got &value.valueUnstructured{Value:12345678}",
        'admission webhook "x.example.org" denied the request: hunter2 is no good password',
        "admission webhook denied the request: 'aHVudGVyMg==' is no good password, got hunter2",
    ],
)
def test_no_value_of_a_secret_is_told(message):
    text = told(message, data={"a": base64.b64encode(b"hunter2").decode()})
    assert text.startswith("Secret shop/a: ")
    for value in ("12345678", "hunter2", "aHVudGVyMg"):
        assert value not in text
    assert told(message, kind="ConfigMap", data={"a": "hunter2"}) == f"ConfigMap shop/a: {message}"


def test_a_schema_that_can_not_be_read_hides_no_refusal():
    def openapi(_api_version):
        raise Unreachable("the API server does not answer")

    message = 'unknown field "dat"'
    text = told(message, kind="ConfigMap", cluster=types.SimpleNamespace(openapi=openapi), dat={})
    assert text.startswith("ConfigMap shop/a: unknown field dat")


def test_only_who_lacks_a_right_is_advised_to_get_it():
    lacks = 'secrets is forbidden: User "me" cannot create resource "secrets" in API group "" in the namespace "shop"'
    assert told(lacks, 403) == f"Secret shop/a: {lacks} (give the user of this kubeconfig the right to do so)"
    for other in (
        'pods "a" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
        'secrets "a" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1',
        'admission webhook "x.example.org" denied the request: such a Secret cannot be in this namespace',
    ):
        assert told(other, 403) == f"Secret shop/a: {other}"
