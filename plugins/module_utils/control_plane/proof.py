# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proof that a control plane works, from the mesh itself: istiod serves, injects, and runs the declared mesh config."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import enum
import json
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import KNOWN
from ..errors import MeshopsError
from ..injection.injector import ENABLED, asking_label, asking_namespaces, is_refusal, sidecar
from ..mesh import mesh_config
from ..mesh.pods import REVISION, is_live, is_ready
from ..reconcile.types import K8sObject, Labels

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
#: Namespaces in which a pod is tried at most.
_TRIES = 5


class NotProven(MeshopsError):
    """The control plane is installed but doesn't do what it should; the text says what and why."""


class Gap(enum.Enum):
    """Why a part of the proof could not be made, although nothing shows a fault."""

    POD_REFUSED = "it is not proven that the injector injects"
    NO_NAMESPACE = "it is not proven that the injector injects (no namespace to ask in)"
    EXEC_FORBIDDEN = "it is not proven that istiod runs the declared mesh config (pods/exec refused)"
    DEBUG_OFF = "it is not proven that istiod runs the declared mesh config (debug endpoint off)"


@dataclasses.dataclass(frozen=True)
class Unproven:
    """A part of the proof that could not be made: a warning, not a failure."""

    gap: Gap
    why: str

    def __str__(self) -> str:
        return f"{self.gap.value}: {self.why}"


@dataclasses.dataclass(frozen=True)
class Proof:
    """What a control plane has shown of itself.

    :ivar version: what istiod reports as its version
    :ivar proxy_image: image of the proxy that the injector adds; empty where it could not be asked
    :ivar gaps: what could not be proven
    """

    version: str
    proxy_image: str
    gaps: tuple[Unproven, ...] = ()


def prove(
    cluster: Cluster, namespace: str, revision: str = "", tags: t.Sequence[str] = (), timeout: float = 60
) -> Proof:
    """Proves a revision, or says what is wrong.

    What the cluster does not let anybody ask (a policy refuses the pod, pods/exec is forbidden, the debug endpoint is
    off, every namespace decides about injection itself) is one of C(gaps), not a failure.

    :param namespace: where istiod runs
    :param tags: revision tags that must inject, too
    :param timeout: seconds within which it must be so; right after a start istiod still writes its webhooks
    :raises NotProven: it isn't so in time
    """
    deadline = time.monotonic() + timeout
    names = ("", *tags) if not revision else (revision, *tags)
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        version = pool.submit(_until, deadline, lambda: _version(cluster, namespace, revision))
        config = pool.submit(_until, deadline, lambda: _runs_config(cluster, namespace, revision))
        asked = [
            pool.submit(_until, deadline, lambda name=name: _injects(cluster, namespace, name, revision))
            for name in names
        ]
        injected = [answer.result() for answer in asked]
        gaps = [gap for _image, gap in injected if gap] + [gap for gap in (config.result(),) if gap]
    return Proof(version.result(), injected[0][0], tuple(dict.fromkeys(gaps)))


T = t.TypeVar("T")


def _until(deadline: float, look: t.Callable[[], T]) -> T:
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
        return str(cluster.request("GET", path, raw=True)).strip()
    except ApiError as error:
        if error.status == 403:
            containers = _serving_pod(cluster, namespace, revision)["spec"]["containers"]
            image = next((c["image"] for c in containers if c["name"] == "discovery"), containers[0]["image"])
            return str(image).partition("@")[0].rpartition(":")[2]
        raise NotProven(f"Service {namespace}/{service}: istiod does not serve: {error}") from error


def _serving_pod(cluster: Cluster, namespace: str, revision: str) -> K8sObject:
    """A pod of the revision's istiod that is ready."""
    labels = f"app=istiod,istio.io/rev={revision or 'default'}"
    for pod in cluster.list(KNOWN["", "Pod"], namespace, labels=labels):
        if is_ready(pod) and is_live(pod):
            return pod
    raise NotProven(f"no istiod of revision {revision or 'default'} in namespace {namespace} is ready")


# -- the injector injects -----------------------------------------------------


def _injects(cluster: Cluster, namespace: str, name: str, revision: str) -> tuple[str, Unproven | None]:
    """The image of the proxy that the injector adds to a pod, or why it could not be asked.

    The pod is only a dry run. It is tried where the namespace leaves the choice to the pod, else where the namespace
    chooses this very revision or tag.

    :param name: the revision or tag that the pod chooses; empty for the control plane without a revision
    :param revision: the revision whose injector must answer
    """
    labels = asking_label(name)
    refusal: Unproven | None = None
    for where in asking_namespaces(cluster, name, (namespace, "default"))[:_TRIES]:
        meta = {"generateName": "injection-proof-", "namespace": where, "labels": labels}
        try:
            made = cluster.create(
                {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _POD_SPEC}, dry_run=True
            )
        except ApiError as error:
            if not is_refusal(error):
                raise NotProven(f"the injector can't be reached: {error}") from error
            refusal = refusal or Unproven(Gap.POD_REFUSED, f"namespace {where} refuses a pod: {error}")
            continue
        _check_answer(made, where, labels, revision)
        return sidecar(made).image, None
    if refusal is None:
        chosen = f"the tag {name}" if name != revision else f"revision {name or 'default'}"
        refusal = Unproven(
            Gap.NO_NAMESPACE,
            f"every namespace decides about injection itself, and none chooses {chosen}. Label a namespace with"
            f" {f'{REVISION}={name}' if name else f'{ENABLED}=enabled'}, or leave one without {ENABLED} and {REVISION}",
        )
    return "", refusal


def _check_answer(made: K8sObject, namespace: str, labels: Labels, revision: str) -> None:
    """Whether the injector of the revision has answered.

    :raises NotProven: none, or another revision's
    """
    label = ", ".join(f"{k}={v}" for k, v in labels.items())
    answer = sidecar(made)
    if not answer.image:
        raise NotProven(
            f"no injector adds a sidecar to a pod with the label {label} in namespace {namespace}:"
            " see `kubectl get mutatingwebhookconfigurations` for the webhook, and istiod's log"
        )
    if answer.revision and answer.revision != (revision or "default"):
        raise NotProven(
            f"the injector of revision {answer.revision} answers for a pod with the label {label} in namespace"
            f" {namespace}, expected revision {revision or 'default'}: see `kubectl get mutatingwebhookconfigurations`"
        )


# -- the running mesh config is the declared one ------------------------------


def _runs_config(cluster: Cluster, namespace: str, revision: str) -> Unproven | None:
    name = f"istio-{revision}" if revision else "istio"
    config_map = cluster.get(KNOWN["", "ConfigMap"], name, namespace)
    if config_map is None:
        raise NotProven(f"ConfigMap {namespace}/{name} (the mesh config) does not exist")
    wanted = mesh_config.running(config_map)
    pod = _serving_pod(cluster, namespace, revision)["metadata"]["name"]
    try:
        answer = cluster.execute(namespace, pod, ["pilot-discovery", "request", "GET", "/debug/mesh"], "discovery")
    except ApiError as error:
        if 400 <= error.status < 500 and error.status != 404:
            return Unproven(Gap.EXEC_FORBIDDEN, str(error))
        raise
    try:
        running = json.loads(answer)
    except ValueError:
        running = None
    if not isinstance(running, dict):  # 404 is an exit code of 0 to pilot-discovery
        return Unproven(Gap.DEBUG_OFF, f"/debug/mesh of pod {namespace}/{pod} answers {answer.strip()[:100]!r}")
    differing = mesh_config.differences(wanted, running)
    if differing:
        raise NotProven(
            f"istiod runs another mesh config than ConfigMap {namespace}/{name} has: {'; '.join(differing[:3])}."
            " Its log says why it didn't take the new one"
        )
    return None
