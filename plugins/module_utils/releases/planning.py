# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a release's chart renders to, and whether helm has to run for it."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ..helm.helm import Helm, RenderOptions
from ..helm.releases import Release
from ..helm.settled import Records
from ..helm.stored import Stored
from ..reconcile.identity import Key, declared, key, title
from ..reconcile.types import K8sObject
from .foreign_fields import foreign_fields, without
from .lookups import Lookups
from .model import Action, Cause, Compared, Reason, Rendered
from .render import chosen_objects, parse_manifest, stored_values, without_repeated_variables

#: Statuses of records whose objects are not there, or may not be.
_GONE = ("uninstalling", "uninstalled")
_SHOWN = 3


class Planner:
    """Makes the first two stages of plans, with what all plans of a run share."""

    def __init__(self, helm: Helm, lookups: Lookups, records: Records) -> None:
        self._helm = helm
        self._lookups = lookups
        self._records = records
        self._manifests: dict[tuple[str, str], t.Sequence[K8sObject]] = {}

    def compared(self, release: Release) -> Compared:
        """A release rendered and compared to what Helm has stored."""
        rendered = self._begin(release)
        if release.state == "absent":
            return _absent(rendered)
        first = rendered.base is None or rendered.base.revision == 1
        # Charts may render otherwise on a first installation: compare to the stored manifest like with like.
        rendered = self._render(rendered, is_upgrade=not first)
        causes = self._causes(rendered)
        if not causes:
            return Compared(rendered, Action.NONE)
        if rendered.base is None:
            return Compared(rendered, Action.INSTALL, causes)
        return Compared(self._render(rendered, is_upgrade=True) if first else rendered, Action.UPGRADE, causes)

    def _begin(self, release: Release) -> Rendered:
        """A release with what Helm has stored of it."""
        records = self._records.get(release.id) or []
        newest = records[0] if records else None
        base = None
        if newest is not None and newest.status not in _GONE:
            # as helm chooses it: the deployed revision, else the newest that is none of an operation under way
            settled = [record for record in records if not record.is_pending]
            base = next((r for r in settled if r.status == "deployed"), settled[0] if settled else None)
        failed = tuple(r for r in records if r is not base and (r.is_pending or r.status == "failed"))
        before = self.stored(base)
        self._lookups.begin(before)  # while the chart is rendered
        return Rendered(release, newest, base, failed, before)

    def _render(self, rendered: Rendered, *, is_upgrade: bool) -> Rendered:
        release, base = rendered.release, rendered.base
        warnings: list[str] = []
        if base is not None and release.is_plain and self._helm.renders_stored_manifest(release, base):
            text, objects = base.manifest, rendered.before
        else:
            apis = self._lookups.api_versions if self._helm.asks_apis(release) else self._lookups.groups
            text = self._helm.template(release, RenderOptions(self._lookups.kube_version, apis, is_upgrade))
            if base is not None and release.is_plain and text.strip() == base.manifest.strip():
                objects = rendered.before  # no need to read a megabyte of YAML twice
            else:
                objects = chosen_objects(release, text, warnings)
                self._lookups.in_namespace(objects, release.namespace)
        definitions = parse_manifest(self._helm.crds(release), f"chart {release.chart}") if not release.labels else []
        unique = without_repeated_variables(release, objects)
        return dataclasses.replace(
            rendered,
            objects=unique,
            definitions=definitions,
            text=text,
            chart_version=self._helm.chart_version(release),
            deduplicated=unique is not objects,
            warnings=tuple(warnings),
        )

    def stored(self, record: Stored | None) -> t.Sequence[K8sObject]:
        """The objects of a stored manifest."""
        if record is None:
            return []
        place = (record.namespace, record.record)
        if place not in self._manifests:
            objects = parse_manifest(record.manifest, f"the stored manifest of release {record.name}")
            self._manifests[place] = self._lookups.in_namespace(objects, record.namespace)
        return self._manifests[place]

    def same(self, dropped: t.Collection[Key], stored: K8sObject | None, wanted: K8sObject) -> bool:
        """Whether a stored object is the declared one; fields that others own don't count.

        :param dropped: objects that the release no longer has
        """
        if stored is wanted or stored is None:
            return stored is wanted
        old, new = declared(stored), declared(wanted)
        if old == new:
            return True
        live = self._lookups.live(wanted)
        if live is None:
            return False
        is_autoscaled = functools.partial(self._lookups.is_autoscaled, dropped=dropped)
        fields = foreign_fields(new, live, is_autoscaled)
        spec = new.get("spec")
        if isinstance(spec, dict) and "replicas" in spec and is_autoscaled(wanted):
            old, new = _without_replicas(old), _without_replicas(new)
        return without(old, fields) == without(new, fields)

    def _causes(self, rendered: Rendered) -> tuple[Cause, ...]:
        """Why helm has to run for a release; empty: it hasn't."""
        newest, base = rendered.stored, rendered.base
        if newest is None:
            return (Cause(Reason.NOT_INSTALLED, "it is not installed"),)
        causes = list(_status_causes(newest))
        if base is None:
            return tuple(causes)
        before, wanted = by_key(rendered.before), by_key(rendered.objects)
        dropped = before.keys() - wanted.keys()
        different = [title(o) for k, o in wanted.items() if not self.same(dropped, before.get(k), o)]
        different += [title(before[k]) for k in before if k in dropped]
        if different:
            more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
            causes.append(Cause(Reason.MANIFEST, f"its manifest differs ({', '.join(different[:_SHOWN])}{more})"))
        release = rendered.release
        if stored_values(base.values) != stored_values(release.values):
            causes.append(Cause(Reason.VALUES, "its values differ"))
        version = rendered.chart_version
        if release.version and base.version and base.version.lstrip("v") != version.lstrip("v"):
            causes.append(Cause(Reason.CHART, f"its chart is {base.chart} {base.version}, not {version}"))
        return tuple(causes)


def _status_causes(newest: Stored) -> t.Iterator[Cause]:
    if newest.is_pending:
        text = f"an operation was interrupted ({newest.status}, revision {newest.revision})"
        yield Cause(Reason.INTERRUPTED, text)
    elif newest.status == "uninstalling":
        text = f"its removal was interrupted (uninstalling, revision {newest.revision}) and is completed first"
        yield Cause(Reason.UNINSTALLING, text)
    elif newest.status != "deployed":
        yield Cause(Reason.NOT_DEPLOYED, f"its last revision is {newest.status}: {newest.description}")


def _absent(rendered: Rendered) -> Compared:
    if rendered.stored is None:
        return Compared(rendered, Action.NONE)
    return Compared(rendered, Action.UNINSTALL, (Cause(Reason.ABSENT, "its state is absent"),))


def _without_replicas(obj: K8sObject) -> K8sObject:
    return {**obj, "spec": {name: value for name, value in obj["spec"].items() if name != "replicas"}}


def by_key(objects: t.Iterable[K8sObject]) -> dict[Key, K8sObject]:
    """Objects by their identity."""
    return {key(obj): obj for obj in objects}
