# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A declared Helm release, as plain data that roles, modules and translations agree on."""

from __future__ import annotations

import dataclasses
import typing as t

from ..reconcile.types import K8sObject

#: The values of a chart, or a part of them.
Values = dict[str, t.Any]
#: See C(patches.apply_patches).
Patch = t.Mapping[str, t.Any]


@dataclasses.dataclass
class Release:
    """A declared Helm release.

    :ivar name: the release's name, unique in its namespace
    :ivar chart: the chart's name within C(charts), such as C(istiod), or a path or OCI reference of its own
    :ivar namespace: where Helm keeps the release; created where missing
    :ivar values: the user's values over the chart's own
    :ivar charts: the chart's source: URL of a Helm repository, C(oci://) prefix, or a directory
    :ivar version: the chart's version or version range; None takes the newest
    :ivar digest: C(sha256:...) that the chart's package must have
    :ivar patches: changes to rendered objects, applied in order (see C(patches.apply_patches))
    :ivar objects: further objects that are part of the release, beside what the chart renders
    :ivar labels: where set, only the rendered objects that carry these labels are part of the release
    :ivar after: names of the releases that must be ready before this one is touched
    :ivar state: C(present) or C(absent)
    :ivar owner: the inventory that declares it, which its record is labelled with; empty leaves the record alone
    """

    name: str
    chart: str
    namespace: str
    values: Values = dataclasses.field(default_factory=dict)
    charts: str | None = None
    version: str | None = None
    digest: str | None = None
    patches: list[Patch] = dataclasses.field(default_factory=list)
    objects: list[K8sObject] = dataclasses.field(default_factory=list)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    after: t.Sequence[str] = ()
    state: str = "present"
    owner: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether what the chart renders is installed without changes."""
        return not (self.patches or self.objects or self.labels)

    @property
    def id(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


def merged(*values: t.Mapping[str, t.Any] | None) -> Values:
    """Values over values as Helm merges them: dicts by key, everything else (also lists) replaced by the later."""
    result: Values = {}
    for layer in values:
        for key, value in (layer or {}).items():
            if isinstance(value, dict):
                before = result.get(key)
                result[key] = merged(before if isinstance(before, dict) else {}, value)
            else:
                result[key] = value
    return result
