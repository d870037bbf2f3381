# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Istio's CNI leaves on a node, and what looks at it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import MARK, Item
from ansible_collections.meshops.istio.plugins.module_utils.purge import cni as purge_cni
from ansible_collections.meshops.istio.plugins.module_utils.purge.proof import has_started

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


class Nodes:
    """A cluster of nodes on which the CNI runs, and what was done to it.

    :param nodes: name -> whether it is ready
    :param broken: nodes on which no further pod starts
    :param dirty: nodes on which the plugin stays in the configuration
    """

    def __init__(self, nodes, broken=(), dirty=()):
        self.nodes, self.broken, self.dirty = nodes, broken, dirty
        self.daemon_sets, self.read, self.gone = {}, [], []
        self.cluster = self

    def list(self, kind, namespace=None, labels=""):
        if kind.kind == "Node":
            return [
                {"metadata": {"name": n}, "status": {"conditions": [{"type": "Ready", "status": str(ok)}]}}
                for n, ok in self.nodes.items()
            ]
        name = labels.partition("=")[2]
        return [self.pod(node, name, node not in self.broken and ok) for node, ok in self.nodes.items()]

    def pod(self, node, daemon_set, ready):
        """One of a DaemonSet; where it does not start it has no node yet."""
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
        meta = {"name": f"{daemon_set}-{node}", "namespace": "kube-system"}
        status = {"conditions": [{"type": "Ready", "status": "True"}]} if ready else {"phase": "Pending"}
        spec = {"affinity": affinity, **({"nodeName": node} if ready else {})}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}

    def apply(self, obj, force):
        self.daemon_sets[obj["metadata"]["name"]] = obj

    def get(self, kind, name, namespace):
        status = {"desiredNumberScheduled": len(self.nodes), "observedGeneration": 1}
        return {**self.daemon_sets[name], "status": status} if name in self.daemon_sets else None

    def execute(self, namespace, pod, command, container):
        self.read.append(pod.removeprefix("istio-cni-node-purge-"))
        return seen(("01.conf", ISTIO)) if self.read[-1] in self.dirty else seen()

    def delete(self, *what, foreground=False):
        """Of the cluster: an object; of what is to go: all DaemonSets of the CNI."""
        if foreground:
            self.gone += [item.name for item in what[0]]
        else:
            del self.daemon_sets[what[1]]

    def clean(self):
        """What clean_nodes says."""
        item = Item("cni", "delete", "apps/v1", "DaemonSet", "kube-system", "istio-cni-node", ())
        report = purge_cni.Report([], [])
        purge_cni.clean_nodes(self, [item], [cni()], 0.01, report)
        return report


def test_every_node_is_looked_at():
    nodes = Nodes({"a": True, "b": True})
    assert nodes.clean() == ([], [])
    assert (nodes.read, nodes.gone, nodes.daemon_sets) == (["a", "b"], ["istio-cni-node"], {})


def test_a_node_that_is_not_ready_keeps_no_other_from_being_looked_at():
    nodes = Nodes({"a": True, "b": False, "c": True})
    warnings = nodes.clean().warnings
    assert ["Node b is not ready, so its CNI files were not checked" in text for text in warnings] == [True]
    assert nodes.read == ["a", "c"]
    assert nodes.daemon_sets == {}


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (
            {"broken": ["b"]},
            r"DaemonSet kube-system/istio-cni-node-purge: CNI files could not be checked.*: b \(its phase is Pending\)",
        ),
        ({"dirty": ["b"]}, r"Node b: Istio's CNI configuration is still there: /host/etc/cni/net.d/01.conf"),
    ],
)
def test_a_node_that_is_not_clean_or_not_seen_is_named_and_looked_at_again_by_the_next_run(trouble, words):
    nodes = Nodes({"a": True, "b": True, "c": True}, **trouble)
    with pytest.raises(MeshopsError, match=words):
        nodes.clean()
    assert {"a", "c"} <= set(nodes.read)
    watcher = next(iter(nodes.daemon_sets.values()))
    assert watcher["metadata"]["labels"][MARK] == "cni"


def test_when_a_pod_has_started():
    lacking = {"state": {"waiting": {"reason": "ErrImagePull"}}}
    creating = {"state": {"waiting": {"reason": "ContainerCreating"}}}
    assert has_started({"status": {"phase": "Running"}})
    assert has_started({"status": {"phase": "Pending", "podIP": "10.0.0.1", "containerStatuses": [lacking]}})
    assert not has_started({"status": {"phase": "Pending", "containerStatuses": [lacking]}})
    assert not has_started({"status": {"phase": "Pending", "containerStatuses": [creating]}})
    assert not has_started({})
