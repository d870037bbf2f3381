# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An object of the footprint with its evidence, and the footprint as a whole."""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from ..reconcile.identity import Key as Id
from ..reconcile.types import K8sObject
from .charts import Release

#: What an object is to Istio. C(gateway_api): created by istiod for the Gateway API; C(mesh_objects): written by users,
#: also for the Gateway API; C(injection) and C(sidecars): objects of others that carry something of Istio's;
#: C(proof): annotations of an interrupted purge. In which order a purge removes them is in C(purge/order.py).
Part = t.Literal[
    "ca",
    "cni",
    "control_plane",
    "crds",
    "gateway_api",
    "gateways",
    "injection",
    "mesh_objects",
    "namespaces",
    "operators",
    "proof",
    "releases",
    "sidecars",
    "trust",
    "webhooks",
    "",
]
Action = t.Literal["delete", "strip", "restart", "leave"]

#: How a purge that was killed continues: as an annotation it says that a namespace is C(going), had a
#: C(control-plane) and is retained, or was C(injected) and has to prove that pods start in it; as a label it marks
#: the DaemonSet that checks the nodes.
MARK = "meshops.istio/purge"


class Reason(enum.Enum):
    """Why an object is in the footprint, or why it is retained. The value is the reason code of results."""

    # What proves that an object is Istio's.
    API_GROUP = "ApiGroup"
    CA_SECRET = "CaSecret"
    CHART_LABEL = "ChartLabel"
    CONTROLLER = "Controller"
    ELECTION = "Election"
    ELECTION_HOLDER = "ElectionHolder"
    GATEWAY_CLASS = "GatewayClass"
    GATEWAY_TEMPLATE = "GatewayTemplate"
    HELM_RECORD = "HelmRecord"
    HELM_RELEASE = "HelmRelease"
    INSTALLER_LABEL = "InstallerLabel"
    ISTIO_LABEL = "IstioLabel"
    OPERATOR_ELECTION = "OperatorElection"
    OWNER = "Owner"
    PARENTS = "Parents"
    POLICY = "Policy"
    REMOTE_SECRET = "RemoteSecret"
    ROOT_CONFIG_MAP = "RootConfigMap"
    SAIL_OPERATOR = "SailOperator"
    SECRET_TYPE = "SecretType"
    SIGNER = "Signer"
    WEBHOOK = "Webhook"
    # Why a namespace may be Istio's.
    CONTROL_PLANE_HERE = "ControlPlaneHere"
    INTERRUPTED_PURGE = "InterruptedPurge"
    NAMESPACE_NAME = "NamespaceName"
    ONLY_ISTIO_INSIDE = "OnlyIstioInside"
    RELEASE_HERE = "ReleaseHere"
    # Why an object of others is changed.
    ISTIO_KEY = "IstioKey"
    SIDECAR = "Sidecar"
    # Why an object is retained.
    CONTENTS_UNKNOWN = "ContentsUnknown"
    HOLDS_KEPT = "HoldsKept"
    HOLDS_OTHERS = "HoldsOthers"
    INJECTED_MANIFEST = "InjectedManifest"
    KEPT = "Kept"
    KEY_SELECTED = "KeySelected"
    LOOKS_LIKE_ISTIO = "LooksLikeIstio"
    NO_CONTROLLER = "NoController"
    NO_RESTART = "NoRestart"
    NOT_PROVEN = "NotProven"
    ON_DELETE = "OnDelete"
    OWNER_NOT_RESTARTABLE = "OwnerNotRestartable"
    PARTITION = "Partition"
    PAUSED = "Paused"
    RELEASE_NOT_PROVEN = "ReleaseNotProven"


_SENTENCES = {
    Reason.API_GROUP: "API group {0}",
    Reason.CA_SECRET: "name of a Secret of istiod's CA, in the namespace of a control plane",
    Reason.CHART_LABEL: "label helm.sh/chart={0}",
    Reason.CONTROLLER: "controller {0}",
    Reason.ELECTION: "name by which istiod elects a leader",
    Reason.ELECTION_HOLDER: "held by {0}",
    Reason.GATEWAY_CLASS: "GatewayClass {0} is Istio's",
    Reason.GATEWAY_TEMPLATE: "its pod template is that of a gateway, which Istio's injector completes",
    Reason.HELM_RECORD: "record of Helm release {0}",
    Reason.HELM_RELEASE: "Helm release {0}",
    Reason.INSTALLER_LABEL: "label {0}",
    Reason.ISTIO_LABEL: "label {0}",
    Reason.OPERATOR_ELECTION: "name by which an operator elects a leader",
    Reason.OWNER: "owner reference to {0}",
    Reason.PARENTS: "only Istio serves its parents",
    Reason.POLICY: "admission policy of the domain istio.io",
    Reason.REMOTE_SECRET: "label istio/multiCluster=true (credentials of a remote cluster)",
    Reason.ROOT_CONFIG_MAP: "name under which istiod publishes its root",
    Reason.SAIL_OPERATOR: "the Sail operator",
    Reason.SECRET_TYPE: "type {0}",
    Reason.SIGNER: "signer {0}",
    Reason.WEBHOOK: "webhook {0}",
    Reason.CONTROL_PLANE_HERE: "{0} runs here",
    Reason.INTERRUPTED_PURGE: "an interrupted purge found Istio here",
    Reason.NAMESPACE_NAME: "name that Istio's installers use",
    Reason.ONLY_ISTIO_INSIDE: "holds nothing but Istio's objects",
    Reason.RELEASE_HERE: "Helm release {0} was installed here",
    Reason.ISTIO_KEY: "{0}",
    Reason.SIDECAR: "pods carry a sidecar",
    Reason.CONTENTS_UNKNOWN: "its contents are not known{0}",
    Reason.HOLDS_KEPT: "it holds objects that `keep` retains",
    Reason.HOLDS_OTHERS: "it holds objects that are not Istio's: {0}",
    Reason.INJECTED_MANIFEST: (
        "its own pod template holds the container istio-proxy (istioctl kube-inject adds it): apply its manifest"
        " without that container"
    ),
    Reason.KEPT: "`keep` includes {0}",
    Reason.KEY_SELECTED: "{0} is retained: changing it would change what the selector matches",
    Reason.LOOKS_LIKE_ISTIO: "resembles Istio ({0}), but nothing proves it",
    Reason.NO_CONTROLLER: "carries a sidecar, but it has no controller: delete it and create it again",
    Reason.NO_RESTART: "`restart_workloads` is false: restart it yourself",
    Reason.NOT_PROVEN: "nothing proves that it was created for Istio",
    Reason.ON_DELETE: "pods carry a sidecar; its strategy is OnDelete: delete its pods",
    Reason.OWNER_NOT_RESTARTABLE: (
        "carries a sidecar, but its owner, {0}, can't be restarted: delete it and create it again"
    ),
    Reason.PARTITION: "pods carry a sidecar; its updateStrategy.rollingUpdate.partition is {0}: set it to 0",
    Reason.PAUSED: "pods carry a sidecar; its rollout is paused: resume it",
    Reason.RELEASE_NOT_PROVEN: (
        "the manifest of Helm release {0} names it, but its own labels and annotations do not say that this release"
        " owns it"
    ),
}


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One reason, and what it is about.

    >>> str(Evidence(Reason.API_GROUP, "networking.istio.io"))
    'API group networking.istio.io'
    """

    kind: Reason
    detail: str = ""

    def __str__(self) -> str:
        return _SENTENCES[self.kind].format(self.detail)


class Scope(enum.Enum):
    """Where on an object a key is."""

    LABEL = "label"
    ANNOTATION = "annotation"
    FINALIZER = "finalizer"
    TAINT = "taint"
    TEMPLATE_LABEL = "template label"
    TEMPLATE_ANNOTATION = "template annotation"


@dataclasses.dataclass(frozen=True)
class Key:
    """A label, annotation, finalizer or taint that is removed from an object which is retained."""

    scope: Scope
    name: str

    def __str__(self) -> str:
        return f"{self.scope.value} {self.name}"


@dataclasses.dataclass(frozen=True)
class Item:
    """One object, and what a purge does with it.

    :ivar evidence: why
    :ivar keys: for C(strip) and C(restart): what is removed from the object
    :ivar revision: the revision of the control plane that it belongs to; empty for all, or where it is not known
    :ivar release: namespace/name of the Helm release that owns it, or that it is a record of
    :ivar uid: of the object that was seen
    """

    part: Part
    action: Action
    api_version: str
    kind: str
    namespace: str
    name: str
    evidence: tuple[Evidence, ...]
    keys: tuple[Key, ...] = ()
    revision: str = ""
    release: str = ""
    uid: str = ""

    @property
    def id(self) -> Id:
        return (self.api_version.rpartition("/")[0], self.kind, self.namespace, self.name)

    @property
    def where(self) -> str:
        """Kind, then namespace/name."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"

    @property
    def why(self) -> tuple[str, ...]:
        """The evidence as sentences."""
        return tuple(str(each) for each in self.evidence)

    @property
    def is_released(self) -> bool:
        """Whether it came with a Helm release, whose record may be all that proves it."""
        return self.has(Reason.HELM_RELEASE)

    def has(self, *reasons: Reason) -> bool:
        return any(each.kind in reasons for each in self.evidence)

    def names(self, scope: Scope) -> list[str]:
        """The names of its keys of one scope."""
        return [key.name for key in self.keys if key.scope is scope]

    def because(self, evidence: Evidence) -> Item:
        """The same object, retained for a reason that comes first."""
        return dataclasses.replace(self, action="leave", evidence=(evidence, *self.evidence))

    def report(self) -> dict[str, t.Any]:
        """The item as a module returns it."""
        shown = {
            "part": self.part,
            "action": self.action,
            "api_version": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "why": list(self.why),
            "reasons": [each.kind.value for each in self.evidence],
            "keys": [{"scope": key.scope.value, "name": key.name} for key in self.keys],
            "revision": self.revision,
            "release": self.release,
        }
        return {name: value for name, value in shown.items() if value}


@dataclasses.dataclass(frozen=True)
class Footprint:
    """All that Istio has put into a cluster (C(items)), and what resembles it but is retained (C(unsure)).

    :ivar stuck: the workloads and pods among C(unsure) whose sidecars no restart removes
    :ivar control_planes: the namespaces in which a control plane or an operator runs or ran
    """

    items: tuple[Item, ...]
    unsure: tuple[Item, ...]
    releases: tuple[Release, ...] = ()
    stuck: tuple[Item, ...] = ()
    control_planes: tuple[str, ...] = ()

    def part(self, *names: Part) -> list[Item]:
        return [item for item in self.items if item.part in names]


def item_of(
    obj: K8sObject, part: Part, action: Action, evidence: t.Iterable[Evidence], keys: t.Iterable[Key] = ()
) -> Item:
    """An object as an item."""
    meta = obj["metadata"]
    return Item(
        part=part,
        action=action,
        api_version=obj["apiVersion"],
        kind=obj["kind"],
        namespace=meta.get("namespace") or "",
        name=meta["name"],
        evidence=tuple(dict.fromkeys(evidence)),
        keys=tuple(keys),
        uid=meta.get("uid") or "",
    )


def mark_of(namespace: K8sObject) -> str:
    """What an interrupted purge has written on a namespace (see MARK)."""
    value = (namespace["metadata"].get("annotations") or {}).get(MARK, "")
    return value if isinstance(value, str) else ""


def marked_injected(listed: t.Iterable[K8sObject]) -> list[str]:
    """The namespaces in which an interrupted purge has to prove that pods start."""
    return [o["metadata"]["name"] for o in listed if o["kind"] == "Namespace" and mark_of(o) == "injected"]


def mark_strips(listed: t.Iterable[K8sObject], gone: t.Collection[str]) -> list[Item]:
    """The annotations that a purge has left on namespaces which are retained."""
    return [
        item_of(obj, "proof", "strip", [Evidence(Reason.INTERRUPTED_PURGE)], [Key(Scope.ANNOTATION, MARK)])
        for obj in listed
        if obj["kind"] == "Namespace" and mark_of(obj) and obj["metadata"]["name"] not in gone
    ]
