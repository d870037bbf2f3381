# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes Istio's CNI plugin off the nodes, and proves on every node that its configuration is clean.

Before the CNI's DaemonSet goes, another one takes its place that only sleeps: same image, same nodes, and the two
host folders. In its pods the nodes' files can be read after the CNI has cleaned up behind itself, and be put right
where it has not (istio/cni/pkg/install/install.go, Cleanup). Its presence tells a later run that nodes still have
to be looked at.
"""

from __future__ import annotations

import json
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ClusterError
from ..cluster.kinds import KNOWN
from ..reconcile.readiness import unready
from .footprint import MARK

_DAEMON_SET = KNOWN["apps", "DaemonSet"]
_POD = KNOWN["", "Pod"]
_SUFFIX = "-purge"
_CONFIG, _BINARIES = "/host/etc/cni/net.d", "/host/opt/cni/bin"
#: Prints the network configurations, which hold no secrets, and the names of all other files.
_LOOK = (
    f'cd {_CONFIG} && for f in *; do case $f in *.conf|*.conflist|*.json) echo "== $f"; cat "$f"; echo;;'
    f" *) echo \"== $f\";; esac; done; echo '== /'; ls {_BINARIES}"
)
_WRITE = 'printf "%s" "$2" > "$1.purge" && mv "$1.purge" "$1"'


def clean_nodes(
    cluster: Cluster, daemon_sets: list[dict], delete: t.Callable[[list[str]], None], timeout: float
) -> list[str]:
    """Takes the CNI away and proves the nodes clean; gives remarks for the user.

    :param daemon_sets: the CNI's, and those of this function that an interrupted purge has left
    :param delete: deletes DaemonSets by name and waits until their pods are gone
    :raises ClusterError: a node still names the plugin
    """
    watchers = [d for d in daemon_sets if (d["metadata"].get("labels") or {}).get(MARK) == "cni"]
    names = {d["metadata"]["name"] for d in watchers}
    remarks = []
    for cni in daemon_sets:
        if cni not in watchers and cni["metadata"]["name"] + _SUFFIX not in names:
            watcher = watcher_of(cni)
            if watcher is None:
                remarks.append(f"DaemonSet {cni['metadata']['name']} mounts no CNI folders: nodes not looked at")
                continue
            cluster.apply(watcher, force=True)
            watchers.append(watcher)
    seeing = [watcher for watcher in watchers if _wait_ready(cluster, watcher, min(timeout, 60))]
    delete([d["metadata"]["name"] for d in daemon_sets if d not in watchers])
    for watcher in seeing:
        for pod in _pods(cluster, watcher):
            remarks += _clean_node(cluster, pod)
    for watcher in watchers:
        name = watcher["metadata"]["name"]
        if watcher not in seeing:
            remarks.append(f"the nodes' CNI files could not be read: the pods of DaemonSet {name} did not start")
        cluster.delete(_DAEMON_SET, name, watcher["metadata"]["namespace"])
    return remarks


def watcher_of(cni: dict) -> dict | None:
    """The DaemonSet that looks at the nodes in the CNI's place; None where the CNI mounts no configuration."""
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


def _wait_ready(cluster: Cluster, watcher: dict, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        live = cluster.get(_DAEMON_SET, watcher["metadata"]["name"], watcher["metadata"]["namespace"])
        if live and not unready(live):
            return True
        time.sleep(0.5)
    return False


def _pods(cluster: Cluster, watcher: dict) -> list[dict]:
    labels = f"app.kubernetes.io/name={watcher['metadata']['name']}"
    return cluster.list(_POD, watcher["metadata"]["namespace"], labels)


def _clean_node(cluster: Cluster, pod: dict) -> list[str]:
    """Puts one node's files right where the CNI has not, and proves them clean."""
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
        raise ClusterError(f"node {node} still holds Istio's CNI configuration: {', '.join(left)}")
    return [f"node {node}: put right {path.removeprefix('/host')}, which Istio's CNI had left" for path in repairs]


def node_repairs(seen: str) -> dict[str, str | None]:
    """What is wrong on a node: path -> what the file should hold, or None where it should not be there.

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
