# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A wanted Helm release, as plain data that roles, modules and translations agree on."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass
class Release:
    """A Helm release as it should be.

    :ivar name: the release's name, unique in its namespace
    :ivar chart: the chart's name within C(charts), such as C(istiod), or a path or OCI reference of its own
    :ivar namespace: where Helm keeps the release; made where missing
    :ivar values: what the user gives over the chart's own values
    :ivar charts: where the chart comes from: URL of a Helm repository, C(oci://) prefix, or a directory
    :ivar version: the chart's version; None takes the newest
    :ivar digest: C(sha256:...) that the chart's package must have
    :ivar patches: changes to rendered objects, applied in order (see C(patches.apply_patches))
    :ivar objects: further objects that are part of the release, beside what the chart renders
    :ivar labels: where given, only the rendered objects that carry these labels are kept
    :ivar after: names of the releases that must be ready before this one is touched
    :ivar state: C(present) or C(absent)
    """

    name: str
    chart: str
    namespace: str
    values: dict = dataclasses.field(default_factory=dict)
    charts: str | None = None
    version: str | None = None
    digest: str | None = None
    patches: list[dict] = dataclasses.field(default_factory=list)
    objects: list[dict] = dataclasses.field(default_factory=list)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    after: t.Sequence[str] = ()
    state: str = "present"

    @property
    def is_plain(self) -> bool:
        """Whether what the chart renders is installed as it is."""
        return not (self.patches or self.objects or self.labels)


def merged(*values: t.Mapping[str, t.Any] | None) -> dict:
    """Values over values as Helm merges them: dicts by key, everything else (also lists) replaced by the later."""
    result: dict[str, t.Any] = {}
    for given in values:
        for key, value in (given or {}).items():
            if isinstance(value, dict):
                before = result.get(key)
                result[key] = merged(before if isinstance(before, dict) else {}, value)
            else:
                result[key] = value
    return result
