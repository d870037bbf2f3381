# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.releases.render import (
    chosen_objects,
    manifest,
    parse_manifest,
    stored_values,
    without_repeated_variables,
)

RELEASE = Release("r", "istiod", "n")


def workload(kind, *env):
    spec = {"containers": [{"name": "c", "env": [{"name": n, "value": v} for n, v in env]}]}
    template = {"template": {"spec": spec}}
    own = {"jobTemplate": {"spec": template}} if kind == "CronJob" else spec if kind == "Pod" else template
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "w", "namespace": "n"}, "spec": own}


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob", "Pod"])
def test_variable_with_two_values_is_refused(kind):
    problem = rf"^{kind} n/w: environment variable A of container c is set twice \(Invalid\): chart istiod"
    with pytest.raises(MeshopsError, match=problem):
        without_repeated_variables(RELEASE, [workload(kind, ("A", "1"), ("B", "2"), ("A", "2"))])
    repeated = [workload(kind, ("A", "1"), ("B", "2"), ("A", "1"))]
    assert without_repeated_variables(RELEASE, repeated) == [workload(kind, ("A", "1"), ("B", "2"))]
    assert repeated == [workload(kind, ("A", "1"), ("B", "2"), ("A", "1"))]
    once = [workload(kind, ("A", "1"))]
    assert without_repeated_variables(RELEASE, once) is once


def test_objects_without_pods_are_left_as_they_are():
    objects = [
        {"apiVersion": "v1", "kind": "Deployment", "metadata": {"name": "d"}},
        {"kind": "Service", "metadata": {}},
    ]
    assert without_repeated_variables(RELEASE, objects) is objects


def test_values_are_compared_as_helm_stores_them():
    assert stored_values({"a": 12345678901234567890}) == stored_values({"a": 1.2345678901234567e19})
    assert stored_values({"a": [1, True, "1"]}) == {"a": [1.0, True, "1"]}
    assert stored_values({"a": True})["a"] is True
    with pytest.raises(MeshopsError, match="a number that JSON has no word for"):
        stored_values({"a": float("inf")})


def test_manifest_is_read_as_it_was_written():
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "---"}, "data": {"a": "no\n---\n"}}]
    assert parse_manifest(manifest(objects), "x") == objects
    with pytest.raises(MeshopsError, match="Fix the chart"):
        parse_manifest("a: [", "chart x")


def test_objects_are_chosen_by_label():
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": name}}} for name in "ab"
    ]
    (chosen,) = chosen_objects(Release("r", "c", "n", labels={"l": "b"}), manifest(objects))
    assert chosen["metadata"]["name"] == "b"
    with pytest.raises(MeshopsError, match="renders nothing labelled l=c"):
        chosen_objects(Release("r", "c", "n", labels={"l": "c"}), manifest(objects))
