# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A support bundle: what support needs to find out why a mesh doesn't work, without its secrets."""

from __future__ import annotations

import collections
import concurrent.futures
import io
import json
import os
import re
import tarfile
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..footprint.footprint import footprint
from ..footprint.item import Footprint
from ..footprint.listing import list_istio
from ..mesh.names import istio_group
from ..mesh.pods import PROXY, injected, is_gateway
from ..reconcile.identity import key
from ..reconcile.types import K8sObject
from .redaction import redacted_object, redacted_text

try:
    import yaml
except ImportError:
    pass  # the kubernetes package brings it; cluster.auth tells the user

_GATEWAY_API = "gateway.networking.k8s.io"
#: Of so many sidecars the logs are taken, so that the bundle of a large mesh stays small.
MOST_SIDECARS = 50
#: What a file's name in the bundle does not hold.
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]|^\.+")


def collect(cluster: Cluster, mesh: t.Mapping[str, t.Any], log_lines: int) -> dict[str, str]:
    """The files of a bundle.

    :param mesh: what C(read.read_mesh) and C(findings.findings) gave
    :param log_lines: how many of the last lines of each log
    :returns: path in the bundle -> text, with secrets removed
    """
    listing = list_istio(cluster)
    listed, found = listing.objects, footprint(*listing)
    objects = chosen(listed, found)
    pods = [obj for obj in objects if obj["kind"] == "Pod"]
    namespaces = sorted({pod["metadata"]["namespace"] for pod in pods})
    files = {"mesh.json": json.dumps({**mesh, "kubernetes": cluster.server_version()}, indent=2, default=str)}
    files["releases.json"] = json.dumps(
        [{k: getattr(r, k) for k in ("namespace", "name", "chart", "version", "status")} for r in found.releases],
        indent=2,
    )
    by_kind: dict[str, list[K8sObject]] = collections.defaultdict(list)
    for obj in objects:
        group = key(obj)[0]
        by_kind[f"{obj['kind']}.{group}" if group else obj["kind"]].append(_shown(obj))
    with concurrent.futures.ThreadPoolExecutor(cluster.concurrency) as pool:
        events = pool.map(lambda namespace: _events(cluster, namespace), namespaces)
        by_kind["Event"] = [redacted_object(event) for some in events for event in some]
        wanted = [log for pod in with_logs(pods) for log in wanted_logs(pod)]
        logs = pool.map(lambda log: (log, _log(cluster, log, log_lines)), wanted)
        files.update({f"logs/{_file(log)}": redacted_text(text) for log, text in logs})
    files.update({f"objects/{kind}.yaml": _yaml(some) for kind, some in sorted(by_kind.items()) if some})
    return files


def _shown(obj: K8sObject) -> K8sObject:
    """An object as the bundle holds it; a CustomResourceDefinition without its schemas, which are known and long."""
    shown = redacted_object(obj)
    if obj["kind"] == "CustomResourceDefinition":
        versions = [{k: v for k, v in version.items() if k != "schema"} for version in shown["spec"]["versions"]]
        shown["spec"] = {**shown["spec"], "versions": versions}
    return shown


def chosen(listed: t.Iterable[K8sObject], found: Footprint) -> list[K8sObject]:
    """The objects that a bundle holds: what is Istio's, what configures it, and the pods with a proxy."""
    ours = {item.id for item in found.items}
    return [
        obj
        for obj in listed
        if obj.get("type") != "helm.sh/release.v1"
        and (
            key(obj) in ours
            or istio_group(key(obj)[0])
            or key(obj)[0] == _GATEWAY_API
            or (obj["kind"] == "Pod" and (injected(obj) or obj["metadata"]["namespace"] in _namespaces(found)))
        )
    ]


def _namespaces(found: Footprint) -> set[str]:
    """The namespaces of control planes and CNI."""
    return {item.namespace for item in found.part("control_plane", "cni") if item.kind in ("Deployment", "DaemonSet")}


class Log(t.NamedTuple):
    """One container's log; C(previous): that of the container before its last restart."""

    namespace: str
    pod: str
    container: str
    previous: bool


def with_logs(pods: t.Iterable[K8sObject]) -> list[K8sObject]:
    """The pods whose logs are taken: Istio's own, gateways, and MOST_SIDECARS with a sidecar, the troubled first."""
    members = [pod for pod in pods if injected(pod) and not is_gateway(pod)]
    own = [pod for pod in pods if not injected(pod) or is_gateway(pod)]
    return own + sorted(members, key=lambda pod: not _troubled(pod))[:MOST_SIDECARS]


def _troubled(pod: K8sObject) -> bool:
    return any(not state.get("ready") or state.get("restartCount") for state in _states(pod, "containerStatuses"))


def _states(pod: K8sObject, *which: str) -> list[K8sObject]:
    return [state for name in which for state in pod.get("status", {}).get(name) or []]


def wanted_logs(pod: K8sObject) -> list[Log]:
    """The logs of a pod that tell of the mesh: all of an Istio pod's containers, of others the proxy's."""
    states = _states(pod, "initContainerStatuses", "containerStatuses")
    meta = pod["metadata"]
    logs = []
    for state in states:
        if injected(pod) and state["name"] not in (PROXY, "istio-init", "istio-validation"):
            continue
        logs.append(Log(meta["namespace"], meta["name"], state["name"], previous=False))
        if state.get("restartCount"):
            logs.append(Log(meta["namespace"], meta["name"], state["name"], previous=True))
    return logs


def _file(log: Log) -> str:
    """A log's path. Whoever may write a pod's status chooses the names of its containers."""
    folder, pod, container = (_UNSAFE.sub("_", name) for name in (log.namespace, log.pod, log.container))
    return f"{folder}/{pod}.{container}{'.previous' if log.previous else ''}.log"


def _log(cluster: Cluster, log: Log, lines: int) -> str:
    try:
        return cluster.logs(log.namespace, log.pod, log.container, lines=lines, previous=log.previous)
    except MeshopsError as error:
        return f"This log can't be read: {error}\n"


def _events(cluster: Cluster, namespace: str) -> list[K8sObject]:
    return cluster.list(KNOWN["", "Event"], namespace)


def _yaml(objects: t.Iterable[K8sObject]) -> str:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump_all(objects, Dumper=dumper, sort_keys=False, default_flow_style=False)


def write(files: t.Mapping[str, str], dest: str) -> None:
    """Writes the files as a tar archive, compressed, that only its owner can read.

    :raises MeshopsError: dest can't be written
    """
    top = os.path.basename(dest).removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
    try:
        descriptor = os.open(dest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
            os.fchmod(descriptor, 0o600)  # of a file that was there already
            for path, text in sorted(files.items()):
                data = text.encode()
                member = tarfile.TarInfo(f"{top}/{path}")
                member.size, member.mode = len(data), 0o600
                archive.addfile(member, io.BytesIO(data))
    except OSError as error:
        raise MeshopsError(f"dest: can't write {dest}: {error.strerror}") from error
