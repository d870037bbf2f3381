# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes Istio's CNI plugin from the nodes, and proves on every node that its configuration is clean.

Before the CNI's DaemonSet is deleted, another one is created that only sleeps: same image, same nodes, and the two
host folders. In its pods the nodes' files can be read after the CNI has cleaned up, and be repaired where it has not
(istio/cni/pkg/install/install.go, Cleanup). While it exists a later run checks the nodes again.
"""

from __future__ import annotations

import json
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..footprint.item import MARK, Item
from ..mesh.pods import is_ready
from ..reconcile.readiness import unready
from ..reconcile.types import K8sObject
from .deletion import Deletions

_DAEMON_SET = KNOWN["apps", "DaemonSet"]
_POD = KNOWN["", "Pod"]
_SUFFIX = "-purge"
_CONFIG, _BINARIES = "/host/etc/cni/net.d", "/host/opt/cni/bin"
#: Prints the network configurations, which hold no secrets, and the names of all other files.
_LOOK = (
    f'cd {_CONFIG} && for f in *; do case $f in *.conf|*.conflist|*.json) echo "== $f"; cat "$f"; echo;;'
    f" *) echo \"== $f\";; esac; done; echo '== /'; ls {_BINARIES}"
)
#: Keeps the file's mode and owner; it is replaced as a whole or not at all.
_WRITE = 'cp -p "$1" "$1.purge" && printf "%s" "$2" > "$1.purge" && mv "$1.purge" "$1"'


class Report(t.NamedTuple):
    """What a user should know of the nodes: what was repaired there, and what could not be checked."""

    notes: list[str]
    warnings: list[str]


def clean_nodes(
    objects: Deletions, items: t.Sequence[Item], daemon_sets: t.Sequence[K8sObject], timeout: float, report: Report
) -> None:
    """Removes the CNI and proves the nodes clean.

    :param items: of the CNI's DaemonSets, and those of this function that an interrupted purge has left
    :param daemon_sets: the same as they are
    :param report: is filled
    :raises MeshopsError: a node still names the plugin, or could not be checked though it is ready
    """
    cluster = objects.cluster
    watchers = [d for d in daemon_sets if (d["metadata"].get("labels") or {}).get(MARK) == "cni"]
    watched = {_where(d) for d in watchers}
    going = [d for d in daemon_sets if d not in watchers]
    for cni in going:
        if (cni["metadata"]["namespace"], cni["metadata"]["name"] + _SUFFIX) not in watched:
            watcher = watcher_of(cni)
            if watcher is None:
                report.notes.append(
                    f"DaemonSet {cni['metadata']['name']} mounts no CNI folders: its nodes were not checked"
                )
                continue
            cluster.apply(watcher, force=True)
            watchers.append(watcher)
    _wait_ready(cluster, watchers, min(timeout, 60))
    objects.delete([i for i in items if (i.namespace, i.name) in {_where(d) for d in going}], foreground=True)
    problems = [problem for watcher in watchers for problem in _look(cluster, watcher, report)]
    if problems:
        raise MeshopsError("; ".join(problems))


def _where(obj: K8sObject) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _ready_nodes(cluster: Cluster) -> dict[str, bool]:
    """Every node's name -> whether it is ready."""
    return {node["metadata"]["name"]: is_ready(node) for node in cluster.list(KNOWN["", "Node"])}


def node_of(pod: K8sObject) -> str:
    """The node of a DaemonSet's pod, which may not be running yet."""
    spec = pod["spec"]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or []
    named = [f["values"][0] for term in terms for f in term.get("matchFields") or [] if f["key"] == "metadata.name"]
    return spec.get("nodeName") or next(iter(named), "")


def watcher_of(cni: K8sObject) -> K8sObject | None:
    """The DaemonSet that checks the nodes in place of the CNI; None where the CNI mounts no configuration."""
    meta, spec = cni["metadata"], cni["spec"]["template"]["spec"]
    mounts = {}
    for container in spec["containers"]:
        for mount in container.get("volumeMounts") or []:
            if mount["mountPath"] in (_CONFIG, _BINARIES):
                mounts[mount["mountPath"]] = (container, mount["name"])
    if _CONFIG not in mounts:
        return None
    container = mounts[_CONFIG][0]
    used = {volume for _container, volume in mounts.values()}
    name = meta["name"] + _SUFFIX
    labels = {"app.kubernetes.io/name": name, MARK: "cni"}
    pod = {
        key: spec[key]
        for key in (
            "nodeSelector",
            "affinity",
            "tolerations",
            "priorityClassName",
            "serviceAccountName",
            "imagePullSecrets",
        )
        if key in spec
    }
    pod["automountServiceAccountToken"] = False
    pod["terminationGracePeriodSeconds"] = 0
    pod["volumes"] = [v for v in spec["volumes"] if v["name"] in used]
    pod["containers"] = [
        {
            "name": "look",
            "image": container["image"],
            **{k: container[k] for k in ("imagePullPolicy", "securityContext") if k in container},
            "command": ["sleep", "86400"],
            "volumeMounts": [{"name": volume, "mountPath": path} for path, (_c, volume) in mounts.items()],
        }
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": meta["namespace"], "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {"metadata": {"labels": {**labels, "sidecar.istio.io/inject": "false"}}, "spec": pod},
        },
    }


def _wait_ready(cluster: Cluster, watchers: t.Sequence[K8sObject], timeout: float) -> None:
    """Waits until a watcher runs on every node that is ready, but no longer than the timeout."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and any(_late(cluster, watcher) for watcher in watchers):
        time.sleep(0.5)


def _late(cluster: Cluster, watcher: K8sObject) -> dict[str, str]:
    """The nodes that are ready, and on which a watcher doesn't run, with the reason."""
    namespace, name = _where(watcher)
    live = cluster.get(_DAEMON_SET, name, namespace) or watcher
    ready, pods = _ready_nodes(cluster), _pods(cluster, watcher)
    late = {node_of(pod): unready(pod) or "" for pod in pods if ready.get(node_of(pod)) and unready(pod)}
    status = live.get("status") or {}
    seen = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 1)
    missing = status.get("desiredNumberScheduled", 0) - len(pods)
    if not seen or missing > 0:
        late[f"{missing} more" if seen else "all"] = "its pod does not exist yet"
    return late


def _pods(cluster: Cluster, watcher: K8sObject) -> list[K8sObject]:
    namespace, name = _where(watcher)
    pods = cluster.list(_POD, namespace, f"app.kubernetes.io/name={name}")
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def _look(cluster: Cluster, watcher: K8sObject, report: Report) -> list[str]:
    """Cleans each node on which a watcher runs, and removes the watcher unless a later run needs it.

    :returns: the nodes that are not clean, or could not be checked, with the reason
    """
    namespace, name = _where(watcher)
    late, ready = _late(cluster, watcher), _ready_nodes(cluster)
    problems = []
    for pod in _pods(cluster, watcher):
        node = node_of(pod)
        if node not in ready:
            continue
        if not ready[node]:
            report.warnings.append(
                f"Node {node} is not ready, so its CNI files were not checked: when it is ready again, check that"
                " nothing in its /etc/cni/net.d names istio-cni"
            )
        elif node not in late:
            try:
                report.notes.extend(_clean_node(cluster, pod))
            except MeshopsError as error:
                problems.append(str(error))
    if late:
        nodes = ", ".join(f"{node} ({why})" for node, why in sorted(late.items()))
        problems.append(
            f"DaemonSet {namespace}/{name}: CNI files could not be checked on nodes where none of its pods runs:"
            f" {nodes}. Fix that; or check yourself that nothing in /etc/cni/net.d names istio-cni there, and delete"
            " the DaemonSet"
        )
    if not problems:
        cluster.delete(_DAEMON_SET, name, namespace)
    return problems


def _clean_node(cluster: Cluster, pod: K8sObject) -> list[str]:
    """Repairs one node's files where the CNI has not, and proves them clean."""
    namespace, name, node = pod["metadata"]["namespace"], pod["metadata"]["name"], pod["spec"]["nodeName"]

    def run(*command: str) -> str:
        return cluster.execute(namespace, name, ["sh", "-c", *command], "look")

    repairs = node_repairs(run(_LOOK))
    for path, content in repairs.items():
        if content is None:
            run('rm -f "$1"', "sh", path)
        else:
            run(_WRITE, "sh", path, content)
    left = node_repairs(run(_LOOK)) if repairs else {}
    if left:
        raise MeshopsError(f"Node {node}: Istio's CNI configuration is still there: {', '.join(left)}")
    return [f"Node {node}: repaired {path.removeprefix('/host')}, which Istio's CNI had left" for path in repairs]


def node_repairs(seen: str) -> dict[str, str | None]:
    """What is wrong on a node: path -> what the file should hold, or None where it should not exist.

    :param seen: what _LOOK prints: after C(== NAME) a file's content, after C(== /) the names of the binaries
    """
    repairs: dict[str, str | None] = {}
    for section in ("\n" + seen).split("\n== ")[1:]:
        name, _newline, content = section.partition("\n")
        if name == "/":
            repairs.update({f"{_BINARIES}/istio-cni": None} if "istio-cni" in content.split() else {})
            continue
        path = f"{_CONFIG}/{name}"
        if "istio-cni" in name:
            repairs[path] = None
            continue
        try:
            config = json.loads(content)
        except ValueError:
            continue
        if not isinstance(config, dict):
            continue
        plugins = config.get("plugins")
        if config.get("type") == "istio-cni":
            repairs[path] = None
        elif plugins and any(p.get("type") == "istio-cni" for p in plugins):
            left = [p for p in plugins if p.get("type") != "istio-cni"]
            repairs[path] = json.dumps({**config, "plugins": left}, indent=2) if left else None
    return repairs
