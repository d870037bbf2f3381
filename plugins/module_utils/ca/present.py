# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which CA the mesh works with now, by its secrets, its roots in use and its istiod pods. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import typing as t

from ..mesh.certificates import CertificateError, fingerprints, short
from ..reconcile.types import K8sObject, Labels
from .gate import CannotRotate, Istiod, Obstacle, Reason
from .rotation import names
from .trust_bundle import Bundle, bundle_of, join, missing_keys

#: istiod signs with this secret where it is there, complete, when istiod starts.
CACERTS = "cacerts"
#: Where istiod keeps the CA that it has made for itself.
SELF_SIGNED = "istio-ca-secret"
#: While a rotation is under way: where it goes, and where it came from. Both hold keys, as cacerts does.
NEXT = "cacerts-next"
PREVIOUS = "cacerts-previous"
#: Annotation on cacerts: the phase, with fingerprints, as JSON.
RECORD = "meshops.istio/ca-rotation"
#: Annotation on cacerts-previous: self-signed (in istio-ca-secret), istio-generated (in cacerts) or plugged-in.
ORIGIN = "meshops.istio/ca-origin"
#: A key in cacerts by which istiod marks a CA that it has made for itself (USE_CACERTS_FOR_SELF_SIGNED_CA).
GENERATED = "istio-generated"


@dataclasses.dataclass(frozen=True, repr=False)
class HeldSecret:
    """A Secret as the API server has it; its keys stay within this process.

    :ivar data: decoded
    :ivar raw: as the API server writes it, in Base64
    :ivar meta: its metadata
    """

    data: dict[str, str]
    created: datetime.datetime
    version: str = ""
    raw: dict[str, str] = dataclasses.field(default_factory=dict)
    meta: K8sObject = dataclasses.field(default_factory=dict)
    immutable: bool = False

    @property
    def annotations(self) -> Labels:
        """The secret's annotations."""
        annotations: Labels = self.meta.get("annotations") or {}
        return annotations

    def __repr__(self) -> str:  # never the data
        return f"<HeldSecret {self.meta.get('name')} version={self.version}>"


Secrets = t.Mapping[str, HeldSecret]


def annotations_of(secrets: Secrets, name: str) -> Labels:
    """The annotations of one of the secrets; empty where it isn't there."""
    return secrets[name].annotations if name in secrets else {}


@dataclasses.dataclass(frozen=True, repr=False)
class Present:
    """The CA that the mesh works with.

    :ivar bundle: what istiod signs with, None where there is none yet
    :ivar plugged: it is in cacerts, put there by somebody other than istiod
    :ivar watched: every istiod (but those that are about to go) follows changes of cacerts
    :ivar pending: a CA in cacerts that istiod doesn't use yet, since it was started without it
    :ivar following: the target of a rotation that is under way
    :ivar previous: where it came from
    :ivar origin: what it came from: self-signed, istio-generated or plugged-in; empty where no rotation is under way
    :ivar lost: cacerts was deleted in the middle of the rotation; bundle is what it must have held
    :ivar control_planes: how many istiod pods run
    :ivar multi_root: each of them takes a change of the roots while it runs (ISTIO_MULTIROOT_MESH)
    """

    bundle: Bundle | None
    plugged: bool = False
    watched: bool = False
    pending: Bundle | None = None
    following: Bundle | None = None
    previous: Bundle | None = None
    origin: str = ""
    lost: bool = False
    control_planes: int = 0
    multi_root: bool = True

    def __repr__(self) -> str:
        return f"<Present {self.bundle!r} plugged={self.plugged} watched={self.watched}>"


# -- whether the secret may be written ------------------------------------

_FLUX = "Flux"
#: Keys (or, with a slash at the end, domains of keys) of labels and annotations by which a controller marks a Secret
#: that it writes -> the tool.
_MARKS = {
    "cert-manager.io/": "cert-manager",
    "controller.cert-manager.io/": "cert-manager",
    "external-secrets.io/": "External Secrets",
    "reconcile.external-secrets.io/": "External Secrets",
    "sealedsecrets.bitnami.com/": "Sealed Secrets",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/": _FLUX,
    "helm.toolkit.fluxcd.io/": _FLUX,
    "secrets.hashicorp.com/": "the Vault Secrets Operator",
    "vault.security.banzaicloud.io/": "Bank-Vaults",
    "secrets-store.csi.k8s.io/": "the Secrets Store CSI driver",
    "meta.helm.sh/release-name": "Helm",
    "objectset.rio.cattle.io/": "Rancher Fleet",
    "kapp.k14s.io/": "kapp",
    "reflector.v1.k8s.emberstack.com/reflects": "Reflector",
    "replicator.v1.mittwald.de/replicate-from": "Kubernetes Replicator",
    "replicator.v1.mittwald.de/replicated-at": "Kubernetes Replicator",
    "generate.kyverno.io/": "Kyverno",
}
#: An object that Flux is told to leave alone.
_FLUX_OFF = ("kustomize.toolkit.fluxcd.io/reconcile", "disabled")
#: Values of app.kubernetes.io/managed-by -> the tool.
_MANAGED_BY = {
    "hashicorp-vso": "the Vault Secrets Operator",
    "secrets-store.csi.k8s.io": "the Secrets Store CSI driver",
    "kyverno": "Kyverno",
    "external-secrets": "External Secrets",
    "argocd": "Argo CD",
}
#: Field managers that write once, by a person's command, and keep nothing afterwards: ours, istiod's own, kubectl's,
#: and those that the API server derives from the User-Agent of clients without a name.
_ONE_TIME_MANAGERS = re.compile(
    r"(meshops\.istio|kubectl|oc|istioctl|pilot-discovery|k9s|curl|OpenAPI-Generator|Swagger-Codegen|"
    r"python|Python|node-fetch|Go-http-client|Mozilla|unknown)\b.*"
)


def cacerts_obstacles(cacerts: HeldSecret | None, *, accept_managed: bool = False) -> list[Obstacle]:
    """Why this collection must leave the secret alone: others write it, or it holds what a rotation would break.

    :param accept_managed: whether the user has seen to it that no other tool puts its own contents back
    """
    if not cacerts:
        return []
    found = []
    missing = [] if GENERATED in cacerts.data else missing_keys(cacerts.data)
    if missing:
        found.append(
            Obstacle(
                Reason.INCOMPLETE_SECRET,
                f"the secret {CACERTS} is there but lacks {', '.join(missing)}: complete it, or delete it if nobody"
                " needs what it holds",
            )
        )
    managers = [] if accept_managed else managing_tools(cacerts.meta)
    if managers:
        found.append(
            Obstacle(
                Reason.MANAGED_SECRET,
                f"the secret {CACERTS} is managed by another tool, which would put its own contents back"
                f" ({'; '.join(managers)}): change the CA there, or take the secret out of its management first; where"
                " it no longer writes the secret, set accept_managed_secret: true (ca_accept_managed_secret)",
            )
        )
    if cacerts.immutable:
        found.append(
            Obstacle(
                Reason.IMMUTABLE_SECRET,
                f"the secret {CACERTS} is immutable, so nothing can be written to it: delete it and create it again"
                " with the same contents and without immutable: true, while istiod keeps running",
            )
        )
    if cacerts.data.get("ca-crl.pem"):
        found.append(
            Obstacle(
                Reason.REVOCATION_LIST,
                f"the secret {CACERTS} holds a revocation list (ca-crl.pem), and Envoy refuses every certificate of a"
                " CA without one as soon as another has one: remove it before, and bring a new one after",
            )
        )
    return found


def managing_tools(meta: K8sObject) -> list[str]:
    """The other tools that write an object, each with how it shows: owner, label, annotation or managed fields."""
    found = []
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller") or "." in owner.get("apiVersion", ""):
            found.append(f"its owner is {owner.get('kind')} {owner.get('name')}")
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    flux_off = annotations.get(_FLUX_OFF[0]) == _FLUX_OFF[1]
    for what, keys in (("label", labels), ("annotation", annotations)):
        for key in keys:
            tool = _MARKS.get(key) or _MARKS.get(key.partition("/")[0] + "/")
            if tool and not (tool == _FLUX and flux_off):
                found.append(f"the {what} {key} is from {tool}")
    tool = _MANAGED_BY.get(labels.get("app.kubernetes.io/managed-by", ""))
    if tool:
        found.append(f"the label app.kubernetes.io/managed-by names {tool}")
    for entry in meta.get("managedFields") or ():
        manager = str(entry.get("manager", ""))
        if "f:data" in (entry.get("fieldsV1") or {}) and not _ONE_TIME_MANAGERS.fullmatch(manager):
            found.append(f"the field manager {manager} owns its data")
    return list(dict.fromkeys(found))


def record_of(annotations: Labels | None) -> dict[str, t.Any]:
    """What the annotation says about the last or present rotation; empty where there is none."""
    try:
        found = json.loads((annotations or {}).get(RECORD) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def present_ca(
    secrets: Secrets,
    served: frozenset[str],
    istiods: t.Sequence[Istiod],
) -> Present:
    """The CA in use.

    :param secrets: those that exist, by name
    :param served: fingerprints of the roots that istiod gives out now; empty where it has given none
    :param istiods: the running control planes
    :raises CannotRotate: nobody has the key of the CA that istiod serves
    """
    cacerts = secrets.get(CACERTS)
    generated = cacerts is not None and GENERATED in cacerts.data
    plugged = None if generated else _bundle_in(secrets, CACERTS)
    own = _bundle_in(secrets, CACERTS if generated else SELF_SIGNED)
    following, previous = _bundle_in(secrets, NEXT), _bundle_in(secrets, PREVIOUS)
    known = Present(
        None,
        following=following,
        previous=previous,
        control_planes=len(istiods),
        multi_root=all(istiod.multi_root for istiod in istiods),
        origin=annotations_of(secrets, PREVIOUS).get(ORIGIN, ""),
    )
    if plugged is None:
        in_use = own is not None and (not served or fingerprints(own.roots) == served)
        if following and previous and istiods and not in_use:
            bundle = _lost(previous, following, served)
            return dataclasses.replace(known, bundle=bundle, plugged=True, lost=True)
        return dataclasses.replace(known, bundle=own)
    if not istiods:
        return dataclasses.replace(known, bundle=plugged, plugged=True, watched=True)
    # one that is about to go counts no more, one that is about to start reads what is there then
    staying = [istiod for istiod in istiods if not istiod.terminating and istiod.started is not None]
    watched = all(_watches(istiod, secrets[CACERTS]) for istiod in staying)
    trusted = fingerprints(plugged.roots)
    takes_it = not served or served <= trusted or trusted <= served  # istiod's own rule for a change of roots
    if watched and takes_it:
        return dataclasses.replace(known, bundle=plugged, plugged=True, watched=True)
    if not watched and served == trusted:
        return dataclasses.replace(known, bundle=plugged, plugged=True)
    for candidate in (own, previous, following):
        if candidate is not None and fingerprints(candidate.roots) == served:
            return dataclasses.replace(known, bundle=candidate, pending=plugged)
    raise CannotRotate(
        f"the secret {CACERTS} holds {names(plugged.trusted)}, but istiod still serves"
        f" {', '.join(sorted(short(root) for root in served))} and does not take the change; at its next restart it"
        " would cut the mesh in two. No secret here holds the key of the CA that it serves: restore the previous"
        f" contents of {CACERTS}, then start the rotation again",
        Reason.UNKNOWN_CA,
    )


def _bundle_in(secrets: Secrets, name: str) -> Bundle | None:
    """What one of the secrets holds; None where it isn't there, or is incomplete.

    :raises CannotRotate: it can't be read
    """
    try:
        bundle = bundle_of(secrets[name].data if name in secrets else {})
        if bundle is not None and not bundle.read()[2]:
            raise CertificateError("root-cert.pem holds no certificate")
    except CertificateError as error:
        raise CannotRotate(
            f"the secret {name} can't be used: {error}. Restore its previous contents, or delete it if nobody needs it",
            Reason.UNREADABLE_SECRET,
        ) from None
    return bundle


def _lost(previous: Bundle, following: Bundle, served: frozenset[str]) -> Bundle:
    """What cacerts held before it was deleted in the middle of a rotation, by the roots that istiod serves.

    Where it serves both, either CA may have signed last; both are trusted, so the previous one keeps signing.

    :raises CannotRotate: istiod serves neither
    """
    both = dataclasses.replace(previous, roots=join([*following.trusted, *previous.trusted], "trust, restored"))
    for bundle in (previous, both, following):
        if fingerprints(bundle.roots) == served:
            return bundle
    raise CannotRotate(
        f"the secret {CACERTS} was deleted in the middle of a rotation, and istiod serves"
        f" {', '.join(sorted(short(root) for root in served)) or 'no root'}, which is neither where the rotation came"
        f" from nor its target: restore the previous contents of {CACERTS}, or to start again from what istiod"
        f" serves, delete {NEXT} and {PREVIOUS}",
        Reason.UNKNOWN_CA,
    )


def _watches(istiod: Istiod, cacerts: HeldSecret) -> bool:
    """Whether an istiod has found the user's complete bundle when it started, and so follows its changes.

    An adoption names the pods that were there before it; otherwise the secret's age tells.
    """
    before = record_of(cacerts.annotations).get("not_watching")
    if before is not None:
        return istiod.uid not in before
    return istiod.started is not None and istiod.started > cacerts.created
