# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of the modules that install a control plane."""

from __future__ import annotations

import dataclasses
import typing as t

#: The options that say what a control plane is, as C(ControlPlaneOptions) has them.
CONTROL_PLANE_OPTIONS: dict[str, dict[str, t.Any]] = {
    "profile": {"type": "str"},
    "version": {"type": "str"},
    "revision": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "values": {"type": "dict"},
    "mesh_config": {"type": "dict"},
    "cni": {"type": "bool"},
    "istio_operator": {"type": "raw"},
    "charts": {"type": "str", "default": "https://istio-release.storage.googleapis.com/charts"},
    "digests": {"type": "dict"},
    "hub": {"type": "str"},
    "tag": {"type": "str"},
    "namespace": {"type": "str"},
}


@dataclasses.dataclass(frozen=True)
class ControlPlaneOptions:
    """A control plane as it is declared; what is empty has the default of the role.

    :ivar istio_operator: a document instead of profile, values, mesh_config and cni
    :ivar cni: None leaves the CNI plugin to the profile
    :ivar hold_tags: whether the tags, and what validates by default, stay where they are for now
    """

    profile: str = "default"
    version: str | None = None
    revision: str = ""
    tags: tuple[str, ...] = ()
    values: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    mesh_config: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    cni: bool | None = None
    istio_operator: t.Any = None
    charts: str | None = None
    digests: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    hub: str | None = None
    tag: str | None = None
    namespace: str = ""
    hold_tags: bool = False

    @property
    def home(self) -> str:
        """The namespace of istiod."""
        return self.namespace or "istio-system"

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> ControlPlaneOptions:
        """The options among a module's parameters; those that are None count as missing."""
        names = {field.name for field in dataclasses.fields(cls)}
        chosen = {name: value for name, value in params.items() if name in names and value is not None}
        chosen["tags"] = tuple(chosen.get("tags") or ())
        return cls(**chosen)
