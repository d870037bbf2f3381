# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proof that a control plane works, from the mesh itself: istiod serves, injects, and runs the wanted mesh config."""

from __future__ import annotations

import concurrent.futures
import json
import re
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..injection.injector import asking_label, is_refusal, neutral_namespaces, sidecar
from ..mesh import mesh_config

#: A pod that the strictest of Kubernetes' own policies, Pod Security "restricted", lets pass.
_POD_SPEC = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "proof",
            "image": "proof",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class NotProven(MeshopsError):
    """The control plane is installed but doesn't do what it should; the text says what and why."""


def prove(
    cluster: Cluster, namespace: str, revision: str = "", tags: t.Sequence[str] = (), timeout: float = 60
) -> dict:
    """Proves a revision: gives C(version), C(proxy_image) and C(warnings), or says what is wrong.

    A policy of the cluster that refuses the pod which the injector is asked about leaves C(proxy_image) empty, and is a
    warning.

    :param namespace: where istiod runs
    :param tags: revision tags that must inject, too
    :param timeout: seconds within which it must be so; right after a start istiod still writes its webhooks
    :raises NotProven: it isn't so in time
    """
    deadline = time.monotonic() + timeout
    labels = [asking_label(revision), *({"istio.io/rev": tag} for tag in tags)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        version = pool.submit(_until, deadline, lambda: _version(cluster, namespace, revision))
        config = pool.submit(_until, deadline, lambda: _runs_config(cluster, namespace, revision))
        images = [
            pool.submit(_until, deadline, lambda chosen=one: _injects(cluster, namespace, chosen)) for one in labels
        ]
        injected = [image.result() for image in images]
        config.result()
    warnings = list(dict.fromkeys(warning for _image, warning in injected if warning))
    return {"version": version.result(), "proxy_image": injected[0][0], "warnings": warnings}


def _until(deadline: float, look: t.Callable[[], t.Any]) -> t.Any:
    while True:
        try:
            return look()
        except MeshopsError as error:
            if time.monotonic() > deadline:
                raise error if isinstance(error, NotProven) else NotProven(str(error)) from error
        time.sleep(0.5)


# -- istiod serves ------------------------------------------------------------


def _version(cluster: Cluster, namespace: str, revision: str) -> str:
    """What istiod's Service answers on its monitoring port, which it opens when it serves."""
    service = f"istiod-{revision}" if revision else "istiod"
    path = f"/api/v1/namespaces/{namespace}/services/http:{service}:15014/proxy/version"
    try:
        return cluster.request("GET", path, raw=True).strip()
    except ApiError as error:
        if error.status == 403:
            return _serving_pod(cluster, namespace, revision)["spec"]["containers"][0]["image"].rpartition(":")[2]
        raise NotProven(f"istiod doesn't serve: Service {namespace}/{service} answers: {error}") from error


def _serving_pod(cluster: Cluster, namespace: str, revision: str) -> dict:
    """A pod of the revision's istiod that is ready."""
    labels = f"app=istiod,istio.io/rev={revision or 'default'}"
    for pod in cluster.list(KNOWN["", "Pod"], namespace, labels=labels):
        conditions = {c["type"]: c["status"] for c in (pod.get("status") or {}).get("conditions") or ()}
        if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
            return pod
    raise NotProven(f"no istiod of revision {revision or 'default'} in namespace {namespace} is ready")


# -- the injector injects -----------------------------------------------------


def _injects(cluster: Cluster, namespace: str, labels: dict[str, str]) -> tuple[str, str]:
    """The image of the proxy that the injector adds to a pod that asks for one, or a warning that it can't be asked.

    The pod is never kept. It is tried where the namespace leaves the choice to the pod.
    """
    refused = ""
    for where in neutral_namespaces(cluster, (namespace, "default")) or [namespace]:
        meta = {"generateName": "injection-proof-", "namespace": where, "labels": labels}
        try:
            made = cluster.create(
                {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _POD_SPEC}, dry_run=True
            )
        except ApiError as error:
            if not is_refusal(error):
                raise NotProven(f"the injector can't be reached: {error}") from error
            refused = refused or f"it is not proven that the injector injects: namespace {where} refuses a pod: {error}"
            continue
        image = sidecar(made).image
        if not image:
            label = ", ".join(f"{k}={v}" for k, v in labels.items())
            raise NotProven(
                f"no injector adds a sidecar to a pod with the label {label} in namespace {where}:"
                " see `kubectl get mutatingwebhookconfigurations` for the webhook, and istiod's log"
            )
        return image, ""
    return "", refused


# -- the running mesh config is the wanted one --------------------------------


def _runs_config(cluster: Cluster, namespace: str, revision: str) -> None:
    name = f"istio-{revision}" if revision else "istio"
    config_map = cluster.get(KNOWN["", "ConfigMap"], name, namespace)
    if config_map is None:
        raise NotProven(f"there is no ConfigMap {namespace}/{name} with the mesh config")
    wanted = mesh_config.running(config_map)
    pod = _serving_pod(cluster, namespace, revision)["metadata"]["name"]
    answer = cluster.execute(namespace, pod, ["pilot-discovery", "request", "GET", "/debug/mesh"], "discovery")
    differing = config_differences(wanted, json.loads(answer))
    if differing:
        raise NotProven(
            f"istiod runs another mesh config than ConfigMap {namespace}/{name} has: {'; '.join(differing[:3])}."
            " Its log says why it didn't take the new one"
        )


def config_differences(wanted: t.Any, running: t.Any, path: str = "") -> list[str]:
    """Where a running mesh config, as istiod shows it, hasn't what is wanted.

    Durations may be written in several ways, and istiod leaves out what has the type's zero value.
    """
    if isinstance(wanted, dict) and isinstance(running, (dict, type(None))):
        found = []
        for name, value in wanted.items():
            other = (running or {}).get(name, (running or {}).get(mesh_config.camel(name)))
            found += config_differences(value, other, f"{path}.{name}" if path else name)
        return found
    if isinstance(wanted, list) and isinstance(running, list):
        if all(isinstance(item, dict) and "name" in item for item in wanted):
            by_name = {item.get("name"): item for item in running}  # istiod adds providers of its own
            pairs = [(item["name"], item, by_name.get(item["name"])) for item in wanted]
        elif len(wanted) == len(running):
            pairs = [(n, *both) for n, both in enumerate(zip(wanted, running, strict=True))]
        else:
            return [f"{path} has {len(running)} items, not {len(wanted)}"]
        return [line for n, w, r in pairs for line in config_differences(w, r, f"{path}[{n}]")]
    if wanted == running or (not wanted and not running) or str(wanted) == str(running):
        return []
    if isinstance(wanted, str) and isinstance(running, str) and _seconds(wanted) is not None:
        return [] if _seconds(wanted) == _seconds(running) else [f"{path} is {running}, not {wanted}"]
    if running is None:
        return [f"{path} is not {wanted!r}"]
    return [f"{path} is {running!r}, not {wanted!r}"]


def _seconds(text: str) -> float | None:
    """A duration in seconds, rounded to a microsecond, or None where it is none."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        return None
    return round(sum(float(n) * _SECONDS[u] for n, u in parts), 6)
