# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds the kinds of declared objects in the cluster."""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError, Unreachable
from ..cluster.kinds import KNOWN, Kind, split_api_version
from ..cluster.live import Live
from ..errors import MeshopsError
from ..reconcile.identity import title
from ..reconcile.plan import Change
from ..reconcile.server_defaults import is_built_in
from ..reconcile.types import K8sObject
from ..reconcile.wording import and_more, nearest

#: The groups whose objects are the mesh's own; what is pruned is looked for in all of their kinds.
MESH_GROUPS = (
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "gateway.networking.k8s.io",
)
#: What else is looked for to be pruned: what is declared beside the mesh's objects; not what holds data or runs once.
BESIDE = tuple(
    kind
    for kind in KNOWN.values()
    if kind.group in ("apps", "autoscaling", "networking.k8s.io", "policy", "rbac.authorization.k8s.io")
    or kind.kind in ("ConfigMap", "CronJob", "Secret", "Service", "ServiceAccount")
    if kind.kind != "ReplicaSet"
)
#: A name that leads to one object in a URL, and to nothing else.
_IN_A_PATH = re.compile(r"(?!\.\.?\Z)[^/%?#\s]+\Z")


# -- kinds ----------------------------------------------------------------


class Kinds:
    """The kinds of declared objects: from the known table, from declared CustomResourceDefinitions, by discovery."""

    def __init__(self, cluster: Cluster, declared: list[dict[str, t.Any]]) -> None:
        self._cluster = cluster
        self._declared = {kind.api_version + kind.kind: kind for obj in declared for kind in _defined(obj)}
        self._existing: list[dict[str, t.Any]] | None = None
        self._found: dict[tuple[str, str], Kind | None] = {}
        self._unknown: dict[tuple[str, str], list[dict[str, t.Any]]] = collections.defaultdict(list)

    def of(self, obj: dict[str, t.Any]) -> Kind | None:
        api_version, kind = obj["apiVersion"], obj["kind"]
        if (api_version, kind) not in self._found:
            found = self._declared.get(api_version + kind)
            try:
                found = found or self._cluster.kind(api_version, kind)
            except (ApiError, Unreachable):
                raise
            except MeshopsError:
                found = None if is_built_in(api_version) else self._coming(api_version, kind)
            self._found[api_version, kind] = found
        return self._found[api_version, kind]

    def place(self, obj: dict[str, t.Any], namespace: str) -> dict[str, t.Any]:
        """The object with the namespace that it lives in, or with none where its kind has none."""
        kind = self.of(obj)
        meta = obj["metadata"]
        if kind is None:
            self._unknown[obj["apiVersion"], obj["kind"]].append(obj)
        elif kind.namespaced and not meta.get("namespace"):
            meta = {**meta, "namespace": namespace}
        elif not kind.namespaced and "namespace" in meta:
            meta = {k: v for k, v in meta.items() if k != "namespace"}
        if not isinstance(meta["name"], str):
            meta = {**meta, "name": str(meta["name"])}
        for field in ("name", "namespace"):
            if not _IN_A_PATH.match(meta.get(field) or field):
                raise MeshopsError(f"{title(obj)}: metadata.{field} {meta[field]!r} is not a valid Kubernetes name")
        return obj if meta is obj["metadata"] else {**obj, "metadata": meta}

    def raise_unknown(self, *, may_come: bool) -> None:
        """Complains of kinds that the server doesn't know.

        :param may_come: not of those whose CustomResourceDefinition may be still to come
        """
        hopeless = {which: objs for which, objs in self._unknown.items() if not (may_come and self._may_come(*which))}
        if hopeless:
            raise MeshopsError("\n".join(self._unserved_text(*which, objs) for which, objs in hopeless.items()))

    def _may_come(self, api_version: str, kind: str) -> bool:
        group, version = split_api_version(api_version)
        known = is_built_in(api_version) or group in MESH_GROUPS
        return not known and self._serving(Kind(group, version, kind, "", namespaced=True)) is None

    def _coming(self, api_version: str, kind: str) -> Kind | None:
        """The kind of a CustomResourceDefinition that exists, though the server doesn't serve it yet."""
        if self._existing is None:
            try:
                self._existing = self._cluster.list(KNOWN["apiextensions.k8s.io", "CustomResourceDefinition"])
            except ApiError as error:
                if error.status != 403:
                    raise
                self._existing = []
            self._cluster.forget_kinds()  # by now it may serve what it didn't
        defined = [one for definition in self._existing for one in _defined(definition) if _serves(definition, one)]
        return next((one for one in defined if (one.api_version, one.kind) == (api_version, kind)), None)

    @property
    def unknown(self) -> set[tuple[str, str]]:
        """apiVersion and kind of what the server doesn't know."""
        return set(self._unknown)

    def wanted(self, declared: list[dict[str, t.Any]]) -> dict[Kind, dict[str, set[str]]]:
        wanted: dict[Kind, dict[str, set[str]]] = {}
        for obj in declared:
            kind, meta = self.of(obj), obj["metadata"]
            if kind is not None:
                wanted.setdefault(kind, {}).setdefault(meta.get("namespace", ""), set()).add(meta["name"])
        return wanted

    def pruned(self) -> list[Kind]:
        """The kinds in which objects of an owner are looked for."""
        mesh = [kind for (group, _kind), kind in KNOWN.items() if group in MESH_GROUPS]
        mesh += BESIDE
        given = [kind for kind in self._found.values() if kind]
        known = {(kind.group, kind.kind) for kind in given}
        return given + [kind for kind in mesh if (kind.group, kind.kind) not in known]

    def placed(self, declared: list[K8sObject], namespace: str) -> list[K8sObject]:
        """The declared objects with the namespaces that they live in."""
        return [self.place(obj, namespace) for obj in declared]

    def served(self, declared: list[K8sObject], live: Live) -> list[K8sObject]:
        """The declared objects with their final apiVersion, in which C(live) reads them, too.

        A kind of the mesh is taken in a version that the server serves: its versions have the same fields, and Istio's
        documentation shows now one and now another. Only where the server does not serve the declared one, it is asked.
        """
        mesh = {kind for kind in self._found.values() if kind and kind.group in MESH_GROUPS}
        mesh = {kind for kind in mesh if kind.api_version + kind.kind not in self._declared}
        versions = {kind: found for kind in live.begin(mesh) if (found := self._cluster.served(kind))}
        if not versions:
            return declared
        live.read_as(versions)
        return [
            self._in_version(obj, {kind: found.api_version for kind, found in versions.items()}) for obj in declared
        ]

    def _in_version(self, obj: K8sObject, served: t.Mapping[Kind, str]) -> K8sObject:
        kind = self.of(obj)
        version = served.get(kind) if kind else None
        return {**obj, "apiVersion": version} if version and version != obj["apiVersion"] else obj

    def unserved(self, kinds: t.Iterable[Kind], todo: list[Change]) -> set[Kind]:
        """The unserved kinds of which objects are to be written."""
        used = {self.of(change.after) for change in todo if change.after}
        return {kind for kind in kinds if kind in used}

    def require(self, unserved: set[Kind], todo: list[Change], timeout: float, *, may_come: bool) -> None:
        """Waits for CustomResourceDefinitions that exist, and complains of those that don't and aren't declared.

        :param may_come: complain only of kinds that the server serves in another version
        """
        given = [kind for kind in unserved if kind.api_version + kind.kind not in self._declared]
        if not given:
            return
        from ..cluster.wait import wait_established

        missing = wait_established(self._cluster, given, timeout)
        if may_come:
            missing = [kind for kind in missing if self._serving(kind)]
        if missing:
            texts = [
                self._unserved_text(
                    kind.api_version, kind.kind, [c.after for c in todo if c.after and self.of(c.after) == kind]
                )
                for kind in missing
            ]
            raise MeshopsError("\n".join(texts))

    def _serving(self, kind: Kind) -> str | None:
        found = self._cluster.served(kind)
        return found.api_version if found else None

    def _unserved_text(self, api_version: str, kind: str, objs: list[dict[str, t.Any]]) -> str:
        from ..cluster.refusal import unserved

        more = and_more(len(objs) - 1)
        group, version = split_api_version(api_version)
        serving = self._serving(Kind(group, version, kind, "", namespaced=True))
        text = unserved(f"{title(objs[0])}{more}", api_version, kind, serving)
        near = None if serving else self._nearest(api_version, kind)
        return f"{text}. Did you mean {near}?" if near else text

    def _nearest(self, api_version: str, kind: str) -> str | None:
        """A kind with a like name, in the same group where there is one."""
        group, _version = split_api_version(api_version)
        same_group = [*self._cluster.discover(api_version), *(k.kind for k in KNOWN.values() if k.group == group)]
        same_kind = [k for k in KNOWN.values() if k.kind == kind]
        near = nearest(kind, same_group, 0.75)
        if near == kind or (near is None and same_kind):
            return next((f"apiVersion {k.api_version}" for k in same_kind if k.api_version != api_version), None)
        return near


def _defined(obj: dict[str, t.Any]) -> list[Kind]:
    """The kinds that a declared CustomResourceDefinition brings."""
    if obj.get("kind") != "CustomResourceDefinition":
        return []
    spec = obj.get("spec") or {}
    try:
        names = spec["names"]
        kinds = [
            Kind(spec["group"], v["name"], names["kind"], names["plural"], spec["scope"] == "Namespaced")
            for v in spec["versions"]
        ]
    except (KeyError, TypeError):
        return []  # the API server will say what is missing
    return [one for one in kinds if all(isinstance(text, (str, bool)) for text in dataclasses.astuple(one))]


def _serves(obj: dict[str, t.Any], kind: Kind) -> bool:
    return any(v["name"] == kind.version and v.get("served") for v in (obj.get("spec") or {}).get("versions", ()))
