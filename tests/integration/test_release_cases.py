# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases that other tools of this kind plan otherwise than Helm installs them, with Helm 3 and Helm 4."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import uuid

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster, PatchOptions
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN, Kind
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm import holder, settled
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import Helm, HelmBusy
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import decode, encoded
from ansible_collections.meshops.istio.plugins.module_utils.releases.apply import ApplyOptions, apply_releases
from ansible_collections.meshops.istio.plugins.module_utils.releases.plan import PlanOptions, plan_releases
from ansible_collections.meshops.istio.plugins.module_utils.releases.undeclared import Owner
from provider import with_suffix

SECRET, CONFIG_MAP, DEPLOYMENT = KNOWN["", "Secret"], KNOWN["", "ConfigMap"], KNOWN["apps", "Deployment"]
DEFINITION = KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"]
SCALER = KNOWN["autoscaling", "HorizontalPodAutoscaler"]


@pytest.fixture(params=["LAB_HELM4", "LAB_HELM3"])
def helm(request, cluster, api_server):
    with Helm(cluster, api_server[request.param]) as helm:
        yield helm


@pytest.fixture
def chart(tmp_path, namespace):
    """Makes a release of a chart with these files."""

    def make(files, values=None, name="r", version="1.0.0", **more):
        folder = tmp_path / f"chart-{uuid.uuid4().hex[:6]}"
        (folder / "templates").mkdir(parents=True)
        (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: mine\nversion: {version}\n")
        for path, content in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(content if isinstance(content, str) else json.dumps(content))
        return Release(**{"name": name, "chart": str(folder), "namespace": namespace, "values": values or {}, **more})

    return make


def config_map(name, value="1", **meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": {"v": value}}


def deployment(name="d", replicas=1, env=(), image="localhost/x:1"):
    labels = {"app": name}
    spec = {"containers": [{"name": "c", "image": image, "env": list(env)}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    own = {"selector": {"matchLabels": labels}, "template": template}
    own |= {"replicas": replicas} if replicas is not None else {}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": own}


def scaler(name="d"):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec}


def owned(releases, owner):
    """Releases as an inventory declares them."""
    return [dataclasses.replace(release, owner=owner.name if owner else "") for release in releases]


def run(cluster, helm, *releases, apply=None, **options):
    plans = plan_releases(cluster, helm, owned(releases, options.get("owner")), PlanOptions(**options))
    apply_releases(cluster, helm, plans, apply or ApplyOptions(wait=False))
    return plans


def assert_unchanged(cluster, helm, *releases, **options):
    for plan in plan_releases(cluster, helm, owned(releases, options.get("owner")), PlanOptions(**options)):
        assert not plan.changed, plan.report()


def statuses(cluster, namespace):
    found = [decode(secret) for secret in cluster.list(SECRET, namespace, labels="owner=helm")]
    return {record.revision: record.status for record in found}


def by_hand(helm, *words, background=False):
    """An administrator's own helm."""
    home = os.environ["HOME"]
    env = {"KUBECONFIG": helm._kubeconfig(), "PATH": os.environ["PATH"], "HOME": home}
    if background:
        return subprocess.Popen([helm._binary, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return subprocess.run([helm._binary, *words], env=env, check=True, capture_output=True, text=True)


HOOK_JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "hook", "annotations": {"helm.sh/hook": "pre-upgrade"}},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "localhost/x:1"}]}}},
}


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_helm_of_an_administrator_is_never_interrupted(cluster, helm, namespace, chart, monkeypatch):
    """Helm copies the labels of our record to its own: they don't make it ours. Its hook waits for ever."""
    monkeypatch.setattr(settled, "GRACE", 1)
    release = chart({"templates/a.yaml": config_map("a"), "templates/hook.yaml": HOOK_JOB})
    run(cluster, helm, release)
    other = by_hand(helm, "upgrade", "r", release.chart, "-n", namespace, "--timeout", "60s", background=True)
    try:
        until(lambda: statuses(cluster, namespace).get(2) == "pending-upgrade")
        changed = dataclasses.replace(release, values={"a": 1})
        with pytest.raises(HelmBusy, match=r"another Helm operation is in progress \(pending-upgrade\)"):
            run(cluster, helm, changed)
        assert statuses(cluster, namespace)[2] == "pending-upgrade"
    finally:
        other.kill()
        other.communicate()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_run_that_is_alive_is_never_interrupted(cluster, helm, namespace, chart, monkeypatch, elsewhere):
    """On this machine its lock says so, on another one its heartbeat; and once it is killed it is recovered."""
    monkeypatch.setattr(settled, "GRACE", 1)
    monkeypatch.setattr(holder, "SILENCE", 4)
    monkeypatch.setattr(holder, "INTERVAL", 0.5)
    release = chart({"templates/a.yaml": config_map("a"), "templates/hook.yaml": HOOK_JOB})
    run(cluster, helm, release)
    changed = dataclasses.replace(release, values={"a": 1})
    with Helm(cluster, helm._binary) as other:
        plans = plan_releases(cluster, other, [changed])
        errors = []

        def work():
            try:
                apply_releases(cluster, other, plans, ApplyOptions(wait=False, timeout=60))
            except MeshopsError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            until(lambda: statuses(cluster, namespace).get(2) == "pending-upgrade")
            if elsewhere:
                own = holder.machine()
                monkeypatch.setattr(holder, "machine", lambda: "0" * 12 if own else "")
            with pytest.raises(HelmBusy, match="another run of this collection is working on it"):
                run(cluster, helm, changed)
            assert statuses(cluster, namespace)[2] == "pending-upgrade"
        finally:
            for pid in _helms(other._folder.name):
                os.kill(pid, signal.SIGKILL)
            thread.join()
    until(lambda: not _helms(other._folder.name))
    cluster.delete(KNOWN["batch", "Job"], "hook", namespace)
    no_hook = dataclasses.replace(changed, chart=chart({"templates/a.yaml": config_map("a")}).chart)
    (plan,) = run(cluster, helm, no_hook)
    assert plan.report()["reason_codes"][0] == "interrupted"
    assert_unchanged(cluster, helm, no_hook)


def _helms(folder):
    """The helms that work with the files in a folder."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if folder in path.read_text():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_hooks_run_also_where_the_manifest_is_patched(cluster, helm, chart, namespace):
    hook = config_map("hook", **{"annotations": {"helm.sh/hook": "pre-install,pre-upgrade"}})
    files = {"templates/a.yaml": config_map("a"), "templates/hook.yaml": hook}
    release = chart(files, patches=[{"kind": "ConfigMap", "name": "a", "merge": {"data": {"v": "2"}}}])
    run(cluster, helm, release)
    assert cluster.get(CONFIG_MAP, "a", namespace)["data"] == {"v": "2"}
    assert cluster.get(CONFIG_MAP, "hook", namespace)["data"] == {"v": "1"}
    assert_unchanged(cluster, helm, release)
    files["templates/hook.yaml"] = config_map("hook", "new", **{"annotations": {"helm.sh/hook": "pre-upgrade"}})
    files["templates/a.yaml"] = config_map("a", labels={"w": "x"})
    upgraded = chart(files, patches=release.patches)
    run(cluster, helm, upgraded)
    assert cluster.get(CONFIG_MAP, "hook", namespace)["data"] == {"v": "new"}
    assert_unchanged(cluster, helm, upgraded)


def test_capabilities_are_those_that_helm_installs_with(cluster, helm, chart, namespace):
    text = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data:
  kind: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}
  istio: {{ .Capabilities.APIVersions.Has "networking.istio.io/v1/VirtualService" | quote }}
  group: {{ .Capabilities.APIVersions.Has "networking.istio.io/v1" | quote }}
  other: {{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor" | quote }}
  version: {{ .Capabilities.KubeVersion.GitVersion | quote }}
"""
    release = chart({"templates/a.yaml": text})
    run(cluster, helm, release)
    data = cluster.get(CONFIG_MAP, "a", namespace)["data"]
    assert (data["kind"], data["istio"], data["group"], data["other"]) == ("true", "true", "true", "false")
    assert_unchanged(cluster, helm, release)
    patched = dataclasses.replace(release, objects=[config_map("b")])
    run(cluster, helm, patched)
    assert cluster.get(CONFIG_MAP, "a", namespace)["data"] == data
    assert_unchanged(cluster, helm, patched)


def crd(name, field):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {field: {"type": "string"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": name, "singular": name, "kind": name.title(), "listKind": f"{name.title()}List"}
    spec = {"group": "test.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    meta = {"name": f"{name}.test.example.com"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta, "spec": spec}


def test_folder_crds_is_planned_upgraded_and_repaired(cluster, helm, chart, namespace):
    name = "x" + uuid.uuid4().hex[:8]
    title = f"{name}.test.example.com"
    release = chart({"templates/a.yaml": config_map("a"), "crds/x.yaml": crd(name, "one")})
    try:
        (plan,) = run(cluster, helm, release)
        assert f"CustomResourceDefinition {title}" in [change.title for change in plan.changes]
        assert_unchanged(cluster, helm, release)
        newer = chart({"templates/a.yaml": config_map("a"), "crds/x.yaml": crd(name, "two")})
        (plan,) = run(cluster, helm, newer)
        assert plan.report()["reason_codes"] == ["definition"]
        schema = cluster.get(DEFINITION, title)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert "two" in schema["properties"]["spec"]["properties"]
        assert_unchanged(cluster, helm, newer)
        cluster.delete(DEFINITION, title)
        until(lambda: cluster.get(DEFINITION, title) is None)
        assert run(cluster, helm, newer)[0].changed
        assert cluster.get(DEFINITION, title)
        run(cluster, helm, dataclasses.replace(newer, state="absent"))
        assert cluster.get(DEFINITION, title), "as with helm, definitions outlive their release"
    finally:
        cluster.delete(DEFINITION, title)


def test_autoscaler_that_the_release_drops_does_not_count(cluster, helm, chart, namespace):
    release = chart({"templates/d.yaml": deployment(replicas=None), "templates/h.yaml": scaler()})
    run(cluster, helm, release)
    cluster.patch(
        DEPLOYMENT, "d", {"spec": {"replicas": 5}}, namespace, PatchOptions(manager="kube-controller-manager")
    )
    fixed = chart({"templates/d.yaml": deployment(replicas=2)})
    run(cluster, helm, fixed)
    assert cluster.get(SCALER, "d", namespace) is None
    assert cluster.get(DEPLOYMENT, "d", namespace)["spec"]["replicas"] == 2
    assert_unchanged(cluster, helm, fixed)


def test_objects_of_a_failed_revision_are_deleted(cluster, helm, chart, namespace):
    good = chart({"templates/a.yaml": config_map("a")})
    run(cluster, helm, good)
    refused = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "z"}, "spec": {"ports": [{"port": 99999}]}}
    files = {"templates/a.yaml": config_map("a"), "templates/b.yaml": config_map("b"), "templates/z.yaml": refused}
    bad = chart(files)
    with pytest.raises(MeshopsError):
        run(cluster, helm, bad)
    assert statuses(cluster, namespace)[2] == "failed"
    (plan,) = run(cluster, helm, good)
    assert cluster.get(CONFIG_MAP, "b", namespace) is None
    assert statuses(cluster, namespace)[3] == "deployed"
    assert_unchanged(cluster, helm, good)


def test_rollback_goes_to_the_revision_that_was_ready(cluster, helm, chart, namespace):
    first, second, third = (chart({"templates/d.yaml": deployment(image=f"localhost/x:{n}")}) for n in (1, 2, 3))
    run(cluster, helm, first)
    live = cluster.get(DEPLOYMENT, "d", namespace)
    status = {"observedGeneration": live["metadata"]["generation"], "replicas": 1, "updatedReplicas": 1}
    status |= {"readyReplicas": 1, "availableReplicas": 1}
    cluster.patch(DEPLOYMENT, "d", {"status": status}, namespace, PatchOptions(subresource="status"))
    run(cluster, helm, first, apply=ApplyOptions(timeout=5))  # and is seen ready
    with pytest.raises(MeshopsError):
        run(cluster, helm, second, apply=ApplyOptions(timeout=1))
    with pytest.raises(MeshopsError, match="has been rolled back to revision 1"):
        run(cluster, helm, third, apply=ApplyOptions(timeout=1, atomic=True))
    (container,) = cluster.get(DEPLOYMENT, "d", namespace)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "localhost/x:1"


def test_repair_does_not_take_an_object_from_another_release(cluster, helm, chart, namespace):
    first = chart({"templates/a.yaml": config_map("a")})
    run(cluster, helm, first)
    second = chart({"templates/a.yaml": config_map("a", "2")})
    by_hand(helm, "upgrade", "--install", "other", second.chart, "-n", namespace, "--take-ownership")
    before = cluster.get(CONFIG_MAP, "a", namespace)
    with pytest.raises(MeshopsError, match=rf"ConfigMap {namespace}/a \(release {namespace}/other\)"):
        run(cluster, helm, first)
    with pytest.raises(MeshopsError, match=f"belongs to release {namespace}/other"):
        run(cluster, helm, first, take_ownership=True)
    assert cluster.get(CONFIG_MAP, "a", namespace) == before


def test_release_in_a_config_map_is_not_installed_a_second_time(cluster, helm, chart, namespace):
    release = chart({"templates/a.yaml": config_map("a")})
    env = {"KUBECONFIG": helm._kubeconfig(), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    words = [helm._binary, "install", "r", release.chart, "-n", namespace]
    subprocess.run(words, env={**env, "HELM_DRIVER": "configmap"}, check=True, capture_output=True)
    with pytest.raises(MeshopsError, match="Helm keeps it in a ConfigMap"):
        run(cluster, helm, release)


def test_api_that_is_gone_does_not_block_the_release(cluster, helm, chart, namespace):
    """As after an upgrade of Kubernetes: the stored manifest names what is served no more, or in another version."""
    release = chart({"templates/a.yaml": config_map("a"), "templates/h.yaml": scaler()})
    run(cluster, helm, release)
    (secret,) = cluster.list(SECRET, namespace, labels="owner=helm")
    manifest = decode(secret).manifest.replace("autoscaling/v2", "autoscaling/v2beta2")
    gone = {"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "gone"}}
    manifest += f"---\n{yaml.safe_dump(gone)}"
    patch = {"data": {"release": encoded(secret, manifest)}}
    cluster.patch(SECRET, secret["metadata"]["name"], patch, namespace)
    (plan,) = run(cluster, helm, release)
    assert "api-removed" in plan.report()["reason_codes"]
    assert cluster.get(SCALER, "d", namespace), "it is the same object in another version"
    assert_unchanged(cluster, helm, release)


def test_removal_that_was_interrupted_is_planned_as_an_installation(cluster, helm, chart, namespace):
    release = chart({"templates/a.yaml": config_map("a")})
    run(cluster, helm, release)
    (secret,) = cluster.list(SECRET, namespace, labels="owner=helm")
    content = secret["data"]["release"]
    patch = {"metadata": {"labels": {"status": "uninstalling"}}, "data": {"release": _with_status(content)}}
    cluster.patch(SECRET, secret["metadata"]["name"], patch, namespace)
    (plan,) = run(cluster, helm, release)
    assert (plan.report()["action"], plan.report()["reason_codes"]) == ("install", ["uninstalling"])
    assert statuses(cluster, namespace) == {1: "deployed"}
    assert_unchanged(cluster, helm, release)


def _with_status(blob):
    import base64
    import gzip

    content = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(blob))))
    content["info"]["status"] = "uninstalling"
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode()))).decode()


def test_repeated_variables(cluster, helm, chart, namespace):
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    with pytest.raises(MeshopsError, match="environment variable A of container c is set twice"):
        plan_releases(cluster, helm, [chart({"templates/d.yaml": deployment(env=twice)})])
    same = chart({"templates/d.yaml": deployment(env=[twice[0], twice[0]])})
    run(cluster, helm, same)
    assert_unchanged(cluster, helm, same)


def test_large_numbers_in_values(cluster, helm, chart, namespace):
    release = chart({"templates/a.yaml": config_map("a")}, {"big": 12345678901234567890, "small": 3})
    run(cluster, helm, release)
    assert_unchanged(cluster, helm, release)


def test_webhook_selector_of_a_cloud_controller_survives_an_upgrade(cluster, helm, chart, namespace):
    name = f"hook-{uuid.uuid4().hex[:8]}"

    def webhooks(extra):
        client = {"url": "https://127.0.0.1:1/x"}
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["endpoints"]}
        webhook = {"name": "a.example.com", "clientConfig": client, "rules": [rule], "sideEffects": "None"}
        webhook |= {"admissionReviewVersions": ["v1"], "failurePolicy": "Ignore"}
        webhook |= {"namespaceSelector": {"matchLabels": {"never": "matches"}}}
        head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        return {**head, "metadata": {"name": name, "labels": {"v": extra}}, "webhooks": [webhook]}

    kind = KNOWN["admissionregistration.k8s.io", "ValidatingWebhookConfiguration"]
    run(cluster, helm, chart({"templates/w.yaml": webhooks("1")}))
    selector = {"matchExpressions": [{"key": "control-plane", "operator": "DoesNotExist"}]}
    selector["matchLabels"] = {"never": "matches"}
    patch = [{"op": "replace", "path": "/webhooks/0/namespaceSelector", "value": selector}]
    cluster.patch(kind, name, patch, options=PatchOptions(how="json", manager="admissionsenforcer"))
    newer = chart({"templates/w.yaml": webhooks("2")})
    (plan,) = run(cluster, helm, newer)
    assert plan.report()["kept"] == [
        f"ValidatingWebhookConfiguration {name}: namespaceSelector of a.example.com belongs to admissionsenforcer"
    ]
    assert cluster.get(kind, name)["webhooks"][0]["namespaceSelector"] == selector
    assert cluster.get(kind, name)["metadata"]["labels"]["v"] == "2"
    assert_unchanged(cluster, helm, newer)
    run(cluster, helm, dataclasses.replace(newer, state="absent"))


def test_inventory_is_what_the_cluster_has(cluster, helm, chart, namespace):
    owner = Owner(f"inventory-{uuid.uuid4().hex[:8]}")
    first = chart({"templates/a.yaml": config_map("a")}, name="first")
    second = chart({"templates/b.yaml": config_map("b")}, name="second")
    run(cluster, helm, first)  # as before releases had an owner
    (labelled, _second) = run(cluster, helm, first, second, owner=owner)
    assert labelled.report()["reason_codes"] == ["owner"]
    assert_unchanged(cluster, helm, first, second, owner=owner)
    by_hand(helm, "upgrade", "second", second.chart, "-n", namespace)  # keeps the label
    run(cluster, helm, first, second, owner=owner)

    kept = plan_releases(cluster, helm, [first], PlanOptions(owner=Owner(owner.name, prune=False)))
    assert kept.notes == (f"Release {namespace}/second is no longer declared, and is retained",)
    with pytest.raises(MeshopsError, match=rf"belongs to inventory '{owner.name}', not to 'other'"):
        run(cluster, helm, first, owner=Owner("other"))
    (_first, gone) = run(cluster, helm, first, owner=owner)
    assert (gone.report()["action"], gone.report()["reason_codes"]) == ("uninstall", ["undeclared"])
    assert cluster.get(CONFIG_MAP, "b", namespace) is None
    assert cluster.get(CONFIG_MAP, "a", namespace)
    assert_unchanged(cluster, helm, first, owner=owner)


def test_undeclared_release_in_use_is_refused(cluster, helm, chart, namespace):
    owner = Owner(f"inventory-{uuid.uuid4().hex[:8]}")
    name = "x" + uuid.uuid4().hex[:8]
    definition = crd(name, "one")
    release = chart({"templates/x.yaml": definition})
    try:
        run(cluster, helm, release, owner=owner)
        kind = Kind("test.example.com", "v1", name.title(), name, True)
        until(lambda: kind.kind in _discovered(cluster, kind))
        meta = {"name": "mine", "namespace": namespace}
        cluster.create({"apiVersion": "test.example.com/v1", "kind": kind.kind, "metadata": meta})
        with pytest.raises(MeshopsError, match=rf"in use by {kind.kind} {namespace}/mine"):
            run(cluster, helm, owner=owner)
        cluster.delete(kind, "mine", namespace)
        run(cluster, helm, owner=owner)
        assert statuses(cluster, namespace) == {}
    finally:
        cluster.delete(DEFINITION, f"{name}.test.example.com")


def _discovered(cluster, kind):
    cluster.forget_kinds()
    return cluster.discover(kind.api_version)


def test_forged_record_deletes_nothing(cluster, helm, chart, namespace):
    """Whoever may write Secrets in one namespace writes a record there that names others' objects, or brings hooks."""
    owner = Owner(f"inventory-{uuid.uuid4().hex[:8]}")
    victim = config_map("victim", namespace="default")
    release = chart({"templates/a.yaml": config_map("a")})
    run(cluster, helm, release, owner=owner)
    cluster.apply(victim, manager="somebody")
    try:
        (secret,) = cluster.list(SECRET, namespace, labels="owner=helm")
        patch = {"data": {"release": encoded(secret, f"{decode(secret).manifest}\n---\n{json.dumps(victim)}")}}
        cluster.patch(SECRET, secret["metadata"]["name"], patch, namespace)
        with pytest.raises(
            MeshopsError, match=r"its record names objects of another owner \(ConfigMap default/victim\)"
        ):
            run(cluster, helm, owner=owner)
        assert cluster.get(CONFIG_MAP, "victim", "default")
    finally:
        cluster.delete(CONFIG_MAP, "victim", "default")


def test_version_of_the_cluster_has_a_providers_suffix(kubeconfig, api_server, chart, tmp_path):
    """Helm 3.18 and newer drops the suffix of --kube-version, so that another chart would be planned than installed."""
    text = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data:
  folder: {{ ternary "/home/kubernetes/bin" "/opt/cni/bin" (contains "-gke" .Capabilities.KubeVersion.GitVersion) }}
"""
    with with_suffix(kubeconfig, "-gke.1080000", tmp_path) as path:
        cluster = Cluster({"kubeconfig": path})
        assert cluster.server_version().endswith("-gke.1080000")
        for binary in ("LAB_HELM4", "LAB_HELM3"):
            name = f"a-{binary[-1]}"
            release = chart({"templates/a.yaml": text.replace("name: a", f"name: {name}")}, name=name)
            with Helm(cluster, api_server[binary]) as helm:
                for given in (release, dataclasses.replace(release, objects=[config_map(f"b-{name}")])):
                    run(cluster, helm, given)
                    found = cluster.get(CONFIG_MAP, name, release.namespace)
                    assert found["data"] == {"folder": "/home/kubernetes/bin"}
                    assert_unchanged(cluster, helm, given)
