# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All that the operator's chart can render is what an API server takes, with every field known to it."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.cluster.wait import wait_established

CHART = pathlib.Path(__file__).parents[2] / "charts/operator"
#: A stand-in for the Prometheus operator's: it knows the fields that the chart sets, so that any other is refused.
POD_MONITOR = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: podmonitors.monitoring.coreos.com
  annotations: {api-approved.kubernetes.io: unapproved}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PodMonitor, plural: podmonitors}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                selector:
                  type: object
                  properties: {matchLabels: {type: object, additionalProperties: {type: string}}}
                podMetricsEndpoints:
                  type: array
                  items:
                    type: object
                    properties: {port: {type: string}, interval: {type: string, pattern: "^[0-9]+s$"}}
"""


@pytest.fixture(scope="module")
def pod_monitors(cluster):
    crd = yaml.safe_load(POD_MONITOR)
    cluster.apply(crd)
    kind = Kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors", True)
    assert wait_established(cluster, [kind], 60) == []
    yield
    cluster.delete(KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"], crd["metadata"]["name"])
    cluster.forget_kinds()


@pytest.mark.parametrize("helm", ["LAB_HELM4", "LAB_HELM3"])
def test_everything_is_taken(helm, api_server, cluster, namespace, pod_monitors):
    # What helm template takes to be the cluster's version depends on how Helm was built.
    rendered_for = ["-n", namespace, "--include-crds", "--kube-version", "v1.34.0"]
    words = ["podMonitor.enabled=true", "replicas=2", "image=operator:1", f"watchNamespaces={{{namespace}}}"]
    options = [word for one in words for word in ("--set", one)]
    told = subprocess.run(
        [api_server[helm], "template", "operator", CHART, *rendered_for, *options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    objects = [obj for obj in yaml.safe_load_all(told.stdout) if obj]
    kinds = {obj["kind"] for obj in objects}
    assert {"PodMonitor", "NetworkPolicy", "PodDisruptionBudget", "Deployment", "Service"} <= kinds
    for obj in objects:
        taken = cluster.apply(obj, dry_run=True)
        assert taken["metadata"]["name"] == obj["metadata"]["name"]
