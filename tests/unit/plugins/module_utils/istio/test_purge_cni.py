# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Istio's CNI leaves on a node, and what looks at it."""

from __future__ import annotations

import json

from ansible_collections.meshops.istio.plugins.module_utils.istio import purge_cni
from ansible_collections.meshops.istio.plugins.module_utils.istio.purge_proof import has_started

PTP = {"type": "ptp"}
ISTIO = {"type": "istio-cni", "name": "istio-cni"}


def seen(*files, binaries="ptp\nportmap"):
    text = "".join(
        f"== {name}\n{content if isinstance(content, str) else json.dumps(content)}\n" for name, content in files
    )
    return text + f"== /\n{binaries}\n"


def test_a_clean_node():
    assert purge_cni.node_repairs(seen(("10-kind.conflist", {"plugins": [PTP]}), ("note.txt", ""))) == {}


def test_the_plugin_is_taken_out_of_a_chain():
    repairs = purge_cni.node_repairs(seen(("10-kind.conflist", {"name": "kind", "plugins": [PTP, ISTIO]})))
    assert json.loads(repairs["/host/etc/cni/net.d/10-kind.conflist"]) == {"name": "kind", "plugins": [PTP]}


def test_what_is_istios_alone_is_removed():
    repairs = purge_cni.node_repairs(
        seen(
            ("01-own.conflist", {"plugins": [ISTIO]}),
            ("02-istio-cni.conflist", {"plugins": [PTP, ISTIO]}),
            ("03.conf", ISTIO),
            ("ZZZ-istio-cni-kubeconfig", ""),
            binaries="istio-cni ptp",
        )
    )
    assert set(repairs.values()) == {None}
    assert sorted(path.rpartition("/")[2] for path in repairs) == [
        "01-own.conflist", "02-istio-cni.conflist", "03.conf", "ZZZ-istio-cni-kubeconfig", "istio-cni"
    ]  # fmt: skip


def test_files_that_cannot_be_read_stay():
    assert purge_cni.node_repairs(seen(("a.conf", "not json"), ("b.conf", "[1]"))) == {}


def cni():
    mounts = [
        {"name": "net", "mountPath": "/host/etc/cni/net.d"},
        {"name": "bin", "mountPath": "/host/opt/cni/bin"},
        {"name": "proc", "mountPath": "/host/proc"},
    ]
    container = {"name": "install-cni", "image": "i", "volumeMounts": mounts, "readinessProbe": {}, "envFrom": [{}]}
    volumes = [{"name": name, "hostPath": {"path": "/" + name}} for name in ("net", "bin", "proc")]
    spec = {"tolerations": [{"operator": "Exists"}], "hostNetwork": True, "volumes": volumes, "containers": [container]}
    return {"metadata": {"name": "istio-cni-node", "namespace": "kube-system"}, "spec": {"template": {"spec": spec}}}


def test_the_watcher_runs_where_the_cni_ran_and_sees_only_its_folders():
    watcher = purge_cni.watcher_of(cni())
    pod = watcher["spec"]["template"]["spec"]
    assert watcher["metadata"]["name"] == "istio-cni-node-purge"
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert [v["name"] for v in pod["volumes"]] == ["net", "bin"]
    assert pod["containers"][0]["command"] == ["sleep", "86400"]
    assert "hostNetwork" not in pod


def test_no_watcher_where_there_is_nothing_to_see():
    other = cni()
    other["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = []
    assert purge_cni.watcher_of(other) is None


def test_when_a_pod_has_started():
    lacking = {"state": {"waiting": {"reason": "ErrImagePull"}}}
    creating = {"state": {"waiting": {"reason": "ContainerCreating"}}}
    assert has_started({"status": {"phase": "Running"}})
    assert has_started({"status": {"phase": "Pending", "podIP": "10.0.0.1", "containerStatuses": [lacking]}})
    assert not has_started({"status": {"phase": "Pending", "containerStatuses": [lacking]}})
    assert not has_started({"status": {"phase": "Pending", "containerStatuses": [creating]}})
    assert not has_started({})
