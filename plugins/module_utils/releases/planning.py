# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks up what planning needs: charts, stored releases, API versions."""

from __future__ import annotations

import concurrent.futures
import json
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import Kind
from ..errors import MeshopsError
from ..helm.helm import Helm
from ..helm.releases import Release
from ..helm.stored import PENDING, Stored
from ..reconcile.identity import Key, declared, key, title
from .foreign_fields import autoscaled
from .model import ReleasePlan
from .render import chosen_objects, manifest, parse_manifest


def _api_versions(cluster: Cluster) -> list[str]:
    groups = cluster.request("GET", "/apis")["groups"]
    return ["v1", *sorted(v["groupVersion"] for g in groups for v in g["versions"])]


class _Planning:
    """What all plans of one run share: the cluster's versions, Helm's records, and the objects in them."""

    def __init__(
        self,
        cluster: Cluster,
        helm: Helm,
        pool: concurrent.futures.Executor,
        records: dict[tuple[str, str], list[Stored]],
    ) -> None:
        self._cluster = cluster
        self._helm = helm
        self._pool = pool
        self._records = records
        self._stored: dict[tuple[str, str], list[dict]] = {}
        self._looks: dict[Key, concurrent.futures.Future[dict | None]] = {}
        self._versions = {"kube_version": cluster.server_version(), "api_versions": _api_versions(cluster)}

    def begin(self, release: Release) -> ReleasePlan:
        """A plan with what is stored, what is wanted, and what helm has to do; without the live objects."""
        records = self._records.get((release.namespace, release.name)) or []
        one = ReleasePlan(release, stored=records[0] if records else None)
        one.good = next((r for r in records if r.status == "deployed"), None)
        one.base = next((r for r in records if r.status not in PENDING), None)
        if release.state == "absent":
            return one
        self._look_for(self.stored(one.base))  # while the chart is rendered
        # Charts may render otherwise on a first installation: compare to the stored manifest like with like.
        first = one.base is None or one.base.revision == 1
        if self._is_plain(one) and self._helm.is_stored(release, one.base):
            one.rendered, one.objects = one.base.manifest, self.stored(one.base)
        else:
            self._render(one, is_upgrade=not first)
        one.reasons = _helm_reasons(one, _by_key(self.stored(one.base)), _by_key(one.objects), self.same)
        if one.reasons:
            one.action = "install" if one.base is None else "upgrade"
        if one.action == "upgrade" and first:
            self._render(one, is_upgrade=True)
        if not release.is_plain:
            one.manifest = manifest(one.objects)
        return one

    def _render(self, one: ReleasePlan, is_upgrade: bool) -> None:
        one.warnings.clear()
        release = one.release
        text = self._helm.template(release, is_upgrade=is_upgrade, **self._versions)
        one.rendered = text
        if self._is_plain(one) and text.strip() == one.base.manifest.strip():
            one.objects = self.stored(one.base)  # no need to read a megabyte of YAML twice
            return
        one.objects = chosen_objects(release, text, one.warnings)
        for obj in one.objects:
            self._default_namespace(obj, release.namespace)

    @staticmethod
    def _is_plain(one: ReleasePlan) -> bool:
        """Whether helm has a record, and what the chart renders to is installed as it is."""
        return one.base is not None and one.release.is_plain

    def kind(self, obj: t.Mapping[str, t.Any]) -> Kind | None:
        """The object's kind, or None where the server doesn't serve it (yet)."""
        try:
            return self._cluster.kind(obj["apiVersion"], obj["kind"])
        except ApiError:
            raise
        except MeshopsError:
            return None

    def _default_namespace(self, obj: dict, namespace: str) -> None:
        kind = self.kind(obj)
        if kind is not None and kind.namespaced:
            obj["metadata"].setdefault("namespace", namespace)
        elif kind is not None:
            obj["metadata"].pop("namespace", None)

    def stored(self, record: Stored | None) -> list[dict]:
        """The objects of a stored manifest."""
        if record is None:
            return []
        place = (record.namespace, record.record)
        if place not in self._stored:
            self._stored[place] = parse_manifest(record.manifest, f"the stored manifest of release {record.name}")
            for obj in self._stored[place]:
                self._default_namespace(obj, record.namespace)
        return self._stored[place]

    def same(self, stored: dict | None, wanted: dict) -> bool:
        """Whether a stored object is the wanted one; its number of replicas doesn't count where it is autoscaled."""
        if stored is wanted or stored is None:
            return stored is wanted
        old, new = declared(stored), declared(wanted)
        if old == new:
            return True
        return "replicas" in (new.get("spec") or {}) and (
            _with_replicas(old, None) == _with_replicas(new, None) and autoscaled(self._cluster, wanted)
        )

    def live(self, plans: t.Sequence[ReleasePlan]) -> dict[Key, dict]:
        """The live objects of all plans, wanted and stored."""
        for one in plans:
            self._look_for(self.stored(one.stored) + self.stored(one.base) + one.objects)
        found = {k: look.result() for k, look in self._looks.items()}
        for one in plans:
            one.live = {key(obj): found[key(obj)] for obj in one.objects if found[key(obj)]}
        return {k: obj for k, obj in found.items() if obj}

    def _look_for(self, objects: t.Iterable[dict]) -> None:
        """Begins to read live objects, each once."""
        for obj in objects:
            if key(obj) not in self._looks:
                self._looks[key(obj)] = self._pool.submit(self._look, obj)

    def _look(self, obj: dict) -> dict | None:
        kind = self.kind(obj)
        if kind is None:
            return None
        found = self._cluster.get(kind, obj["metadata"]["name"], obj["metadata"].get("namespace"))
        return {**found, "apiVersion": obj["apiVersion"], "kind": obj["kind"]} if found else None


def _with_replicas(obj: dict, number: int | None) -> dict:
    spec = {name: value for name, value in (obj.get("spec") or {}).items() if name != "replicas"}
    return {**obj, "spec": spec if number is None else {**spec, "replicas": number}}


def _by_key(objects: t.Iterable[dict]) -> dict[Key, dict]:
    return {key(o): o for o in objects}


def _helm_reasons(
    one: ReleasePlan,
    before: dict[Key, dict],
    wanted: dict[Key, dict],
    same: t.Callable[[dict | None, dict], bool],
) -> list[str]:
    """Why helm has to run for a release; empty: it hasn't."""
    newest, base = one.stored, one.base
    if newest is None:
        return ["it is not installed"]
    reasons = []
    if newest.status in PENDING:
        reasons.append(f"an operation was cut off ({newest.status}, revision {newest.revision})")
    elif newest.status != "deployed":
        reasons.append(f"its last revision is {newest.status}: {newest.description}")
    if base is None:
        return reasons
    different = [title(o) for k, o in wanted.items() if not same(before.get(k), o)]
    different += [title(o) for k, o in before.items() if k not in wanted]
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        reasons.append(f"its manifest differs ({', '.join(different[:3])}{more})")
    if base.values != json.loads(json.dumps(one.release.values)):
        reasons.append("its values differ")
    if one.release.version and base.version and base.version.lstrip("v") != one.release.version.lstrip("v"):
        reasons.append(f"its chart is {base.chart} {base.version}, not {one.release.version}")
    return reasons
