# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator's chart renders, an API server takes; and with its rights alone every profile can be installed."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest
import yaml
from ansible_collections.meshops.istio.extensions.operator import drift
from ansible_collections.meshops.istio.extensions.operator.documents import desired
from ansible_collections.meshops.istio.extensions.operator.settings import Settings
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.cluster.wait import wait_established
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import Helm
from ansible_collections.meshops.istio.plugins.module_utils.releases.render import render
from openshift_api import CONSTRAINTS, CRD, DEFINITIONS, NETWORK, OBJECTS, ROUTE

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "charts/operator"
PLAYBOOKS = ROOT / "extensions/operator/playbooks"
ACCOUNT = "system:serviceaccount:{0}:istio-operator"
#: Of these the operator sees changes only when it looks anyway: nothing of Istio breaks without them.
UNWATCHED: set[str] = set()
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
    words += ["podSecurityContext.runAsUser=1000660000"]
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


@pytest.fixture
def by_the_operator(api_server, cluster, namespace):
    """A connection with the rights of the operator's chart alone. It may work in the namespace and in kube-system."""
    options = [f"image=operator:1,watchNamespaces={{{namespace}}},managedNamespaces={{kube-system}}"]
    told = subprocess.run(
        [api_server["LAB_HELM4"], "template", "istio-operator", CHART, "-n", namespace, "--set", *options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    kinds = {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    kinds |= {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    objects = [obj for obj in yaml.safe_load_all(told.stdout) if obj and obj["kind"] in kinds]
    for one in DEFINITIONS:
        cluster.apply(one)
    assert wait_established(cluster, [ROUTE, CONSTRAINTS, NETWORK], 60) == []
    for obj in (*OBJECTS, *objects):
        cluster.apply(obj)
    yield {"kubeconfig": api_server["KUBECONFIG"], "impersonate_user": ACCOUNT.format(namespace)}
    for obj in objects:
        group = obj["apiVersion"].rpartition("/")[0]
        cluster.delete(KNOWN[group, obj["kind"]], obj["metadata"]["name"], obj["metadata"].get("namespace"))
    for one in DEFINITIONS:
        cluster.delete(CRD, one["metadata"]["name"])
    cluster.forget_kinds()


def asked_for(namespace: str, profile: str, **spec: object) -> dict:
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "mesh", "namespace": namespace},
        "spec": {"profile": profile, "values": {"global": {"istioNamespace": namespace}}, **spec},
    }


@pytest.mark.parametrize("profile", ["default", "ambient", "openshift-ambient"])
def test_the_operator_may_make_whatever_the_charts_render(profile, api_server, cluster, namespace, by_the_operator):
    settings = Settings(namespace, "pod", (namespace,), (namespace, "kube-system"), api_server["LAB_CHARTS"])
    operator = Cluster(by_the_operator)
    obj = asked_for(namespace, profile, components={"cni": {"enabled": True}})
    seen = set()
    with Helm(binary=api_server["LAB_HELM4"]) as helm:
        rendered = [one for release in desired(obj, settings).releases for one in render(helm, release)]
    assert ("openshift" in profile) == any(one["kind"] == NETWORK.kind for one in rendered)
    for one in rendered:
        place = one["metadata"].get("namespace")
        kind = cluster.kind(one["apiVersion"], one["kind"])
        operator.get(kind, one["metadata"]["name"], place)
        operator.apply(one, force=True, dry_run=True)
        for verb in ("patch", "update", "delete"):
            what = {"group": kind.group, "resource": kind.plural, "name": one["metadata"]["name"], "verb": verb}
            assert allowed(cluster, by_the_operator, **what, namespace=place), f"{verb} {one['kind']} {what['name']}"
        seen.add(kind.kind)
    assert seen <= {kind for _group, kind in drift._WATCHED} | {drift._NETWORK[0].kind} | UNWATCHED


def allowed(cluster, operator: dict, **what: object) -> bool:
    review = Kind("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", False)
    asked = {"user": operator["impersonate_user"], "resourceAttributes": what}
    return cluster.create(
        {"apiVersion": review.api_version, "kind": review.kind, "metadata": {}, "spec": asked}
    )["status"]["allowed"]  # fmt: skip


def test_in_the_namespace_default_the_operator_may_make_only_what_the_cni_needs(namespace, by_the_operator):
    operator = Cluster(by_the_operator)

    def network(name: str, place: str = "default") -> dict:
        return {"apiVersion": NETWORK.api_version, "kind": NETWORK.kind, "metadata": {"name": name, "namespace": place}}

    operator.create(network("istio-cni"))
    operator.delete(NETWORK, "istio-cni", "default")
    operator.apply(network("mine", namespace), dry_run=True)
    with pytest.raises(ApiError, match="the operator may write only objects with names of Istio, not mine"):
        operator.create(network("mine"))
    with pytest.raises(ApiError, match="forbidden"):
        operator.create(network("istio-cni", "kube-public"))
    with pytest.raises(ApiError, match="forbidden"):
        operator.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}})


def test_the_operators_own_playbooks_install_and_remove_the_profile_openshift(
    api_server, cluster, namespace, by_the_operator, tmp_path
):
    """As the operator runs them, but for the proof and the wait: no node runs anything here."""
    definitions = [one["metadata"]["name"] for one in cluster.list(CRD)]
    values = {"global": {"istioNamespace": namespace}, "base": {"excludedCRDs": definitions}}
    document = tmp_path / "document.json"
    document.write_text(json.dumps(asked_for(namespace, "openshift", values=values)))
    play = yaml.safe_load((PLAYBOOKS / "apply.yml").read_text())
    quick = {"meshops.istio.control_plane": {"wait": False, "prove": False}, "meshops.istio.releases": {"wait": False}}
    play[0]["module_defaults"] = {"group/meshops.istio.mesh": by_the_operator, **quick}
    path = tmp_path / "apply.yml"
    path.write_text(json.dumps(play))
    given = {
        "control_plane_istio_operator": str(document),
        "control_plane_charts": api_server["LAB_CHARTS"],
        "control_plane_wait_timeout": 60,
        "ansible_python_interpreter": sys.executable,
    }

    def run(left_over: list) -> str:
        variables = json.dumps({**given, "operator_left_over": left_over})
        done = subprocess.run(
            [pathlib.Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", path]
            + ["-e", variables],
            capture_output=True, text=True, check=False, timeout=300,
            env={**os.environ, "PATH": api_server["PATH"], "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
                 "ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    names = {"istio-base": namespace, "istio-cni": "kube-system", "istiod": namespace}
    try:
        assert "changed=1 " in run([])
        assert cluster.get(NETWORK, "istio-cni", "default")
        metas, version = drift.MetadataWatch(by_the_operator, *drift._NETWORK, drift._LABELS).list()
        assert [drift.release_of(meta) for meta in metas] == [("kube-system", "istio-cni")], "its drift is seen"
        assert "changed=0 " in run([])
        cluster.delete(NETWORK, "istio-cni", "default")
        follow = drift.MetadataWatch(by_the_operator, *drift._NETWORK, drift._LABELS).follow(version)
        assert next(follow)[0] == "DELETED"
        follow.close()
        assert "changed=1 " in run([])
        assert cluster.get(NETWORK, "istio-cni", "default")
    finally:
        document.write_text(json.dumps(asked_for(namespace, "empty")))
        run([{"name": name, "namespace": place, "state": "absent"} for name, place in names.items()])
    assert cluster.get(NETWORK, "istio-cni", "default") is None
    assert cluster.list(KNOWN["apps", "DaemonSet"], "kube-system") == []


RBAC, ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"


def cluster_role(name: str, **rule: object) -> dict:
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}


def binding(name: str, role: str, account: str, namespace: str, kind: str = "ClusterRoleBinding") -> dict:
    meta = {"name": name, **({"namespace": namespace} if kind == "RoleBinding" else {})}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    role_ref = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": meta, "roleRef": role_ref, "subjects": [subject]}


def webhook(kind: str, name: str, namespace: str, **more: object) -> dict:
    client = {"service": {"name": "istiod", "namespace": namespace, "path": "/x"}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    entry = {"name": "x.istio.io", "clientConfig": client, "rules": [rule], "sideEffects": "None"}
    entry |= {"admissionReviewVersions": ["v1"], "failurePolicy": "Ignore", **more}
    return {"apiVersion": f"{ADMISSION}/v1", "kind": kind, "metadata": {"name": name}, "webhooks": [entry]}


def attacks(namespace: str) -> dict[str, dict]:
    """Objects by which the operator's account would get more rights than Istio's charts give away."""
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    role, mutating = f"istiod-clusterrole-{namespace}", "MutatingWebhookConfiguration"
    all_kinds = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    conversion = {
        "strategy": "Webhook",
        "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x.example"}},
    }
    crd = {
        "group": "evil.istio.io",
        "scope": "Cluster",
        "names": {"kind": "E", "plural": "es"},
        "conversion": conversion,
    }
    crd["versions"] = [
        {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    ]
    other = {"apiVersion": "v1", "kind": "Namespace"}
    return {
        "bind cluster-admin to itself": binding("pwn", "cluster-admin", "istio-operator", namespace),
        "bind cluster-admin by a name of Istio": binding("istio-x", "cluster-admin", "istiod", namespace),
        "bind Istio's role to itself": binding("istio-x", role, "istio-operator", namespace),
        "bind Istio's role to another account": binding("istio-x", role, "evil", namespace),
        "bind Istio's role elsewhere": binding("istio-x", role, "istiod", "kube-public"),
        "bind another role in a namespace": binding("istio-x", "cluster-admin", "istiod", namespace, "RoleBinding"),
        "a role with all rights": cluster_role(role, **everything),
        "a role that escalates": cluster_role(role, apiGroups=[RBAC], resources=["clusterroles"], verbs=["escalate"]),
        "a role that impersonates": cluster_role(role, apiGroups=[""], resources=["users"], verbs=["impersonate"]),
        "a role that writes Secrets": cluster_role(role, apiGroups=[""], resources=["secrets"], verbs=["update"]),
        "a role that runs commands": cluster_role(role, apiGroups=[""], resources=["pods/exec"], verbs=["create"]),
        "a role for paths": cluster_role(role, nonResourceURLs=["*"], verbs=["get"]),
        "a role of another name": cluster_role("istio-x", apiGroups=[""], resources=["pods"], verbs=["get"]),
        "an aggregated role": {**cluster_role(role, apiGroups=[""], resources=["pods"], verbs=["get"]),
                               "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}},
        "a name that only a rule with another name has": cluster_role(
            role, apiGroups=["certificates.k8s.io"], resources=["signers"], resourceNames=["*"], verbs=["approve"]
        ),
        "a webhook for all kinds": webhook(mutating, "istio-sidecar-injector", namespace, rules=[all_kinds]),
        "a webhook elsewhere": webhook(mutating, "istio-sidecar-injector", "kube-public"),
        "a webhook outside": webhook(mutating, "istio-sidecar-injector", "x", clientConfig={"url": "https://x.example"}),
        "a webhook of another name": webhook(mutating, "istio-x", namespace),
        "a validating webhook for pods": webhook("ValidatingWebhookConfiguration", "istio-validator-x", namespace),
        "a definition with a conversion": {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                                           "metadata": {"name": "es.evil.istio.io"}, "spec": crd},
        "another namespace": {**other, "metadata": {"name": "new-one"}},
    }  # fmt: skip


def test_the_operators_account_gets_no_more_rights_than_istio(namespace, guarded):
    """Each way that a review found, and their relatives, as the operator's account; the API server refuses each."""
    answers = {name: answer_to(guarded, obj) for name, obj in attacks(namespace).items()}
    assert {name: error for name, error in answers.items() if "the operator may" not in error} == {}


@pytest.fixture
def guarded(namespace, by_the_operator):
    """The operator's account, once the API server goes by its guard, which takes it a moment."""
    operator, deadline = Cluster(by_the_operator), time.monotonic() + 60
    probe = binding("probe", "cluster-admin", "istio-operator", namespace)
    while "the operator may" not in answer_to(operator, probe):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return operator


def answer_to(operator: Cluster, obj: dict) -> str:
    try:
        operator.create(obj, dry_run=True)
    except ApiError as error:
        return str(error)
    return "accepted"


def test_the_operators_account_cannot_change_its_guard(cluster, namespace, by_the_operator, guarded):
    name = f"istio-operator-{namespace}.meshops.istio"
    operator = guarded
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        served = KNOWN[ADMISSION, kind]
        for verb in ("update", "patch", "delete", "deletecollection"):
            what = {"group": ADMISSION, "resource": served.plural, "name": name, "verb": verb}
            assert not allowed(cluster, by_the_operator, **what), f"{verb} {kind}"
        with pytest.raises(ApiError, match="forbidden"):
            operator.delete(served, name, dry_run=True)
        with pytest.raises(ApiError, match="forbidden"):
            operator.patch(served, name, {"metadata": {"labels": {"a": "b"}}}, dry_run=True)
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    with pytest.raises(ApiError, match="the operator may write only"):
        operator.patch(KNOWN[RBAC, "ClusterRole"], f"istio-operator-{namespace}", {"rules": rules}, dry_run=True)


def test_the_operators_account_changes_only_istios_labels_of_namespaces(guarded):
    operator, kind = guarded, KNOWN["", "Namespace"]
    for labels in ({"istio-injection": "enabled"}, {"istio.io/rev": "canary"}, {"topology.istio.io/network": "n1"}):
        operator.patch(kind, "kube-public", {"metadata": {"labels": labels}}, dry_run=True)
    for meta in (
        {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
        {"annotations": {"scheduler.alpha.kubernetes.io/node-selector": "a=b"}},
        {"finalizers": ["a.example/b"]},
    ):
        with pytest.raises(ApiError, match="only Istio's labels and annotations"):
            operator.patch(kind, "kube-public", {"metadata": meta}, dry_run=True)
