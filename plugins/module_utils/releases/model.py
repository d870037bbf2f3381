# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release as it is planned."""

from __future__ import annotations

import dataclasses
import typing as t

from ..helm.releases import Release
from ..helm.stored import Stored
from ..reconcile.identity import Key, title
from ..reconcile.plan import Change
from .takeover import Takeover


@dataclasses.dataclass
class ReleasePlan:
    """What is to be done for one release.

    :ivar action: what helm does: C(install), C(upgrade), C(uninstall) or C(none)
    :ivar reasons: why, in words
    :ivar stored: the newest record, or None
    :ivar base: the record that helm upgrades from, or None
    :ivar good: the newest record of a release that came up, or None
    :ivar objects: the wanted objects, patched
    :ivar live: those of them that exist, as they are
    :ivar rendered: what the chart renders to
    :ivar manifest: what helm shall install in place of what the chart renders, or None
    :ivar changes: one an object; those of C(repairs) are among them
    :ivar repairs: live objects that have drifted and that helm itself would leave so
    :ivar takeovers: objects that exist already and become the release's before helm runs
    :ivar kept: fields that differ but that others own, in words
    """

    release: Release
    action: str = "none"
    reasons: list[str] = dataclasses.field(default_factory=list)
    stored: Stored | None = None
    base: Stored | None = None
    good: Stored | None = None
    objects: list[dict] = dataclasses.field(default_factory=list)
    live: dict[Key, dict] = dataclasses.field(default_factory=dict)
    rendered: str = ""
    manifest: str | None = None
    changes: list[Change] = dataclasses.field(default_factory=list)
    repairs: list[Change] = dataclasses.field(default_factory=list)
    takeovers: list[Takeover] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether applying the plan changes anything."""
        return self.action != "none" or bool(self.repairs) or bool(self.takeovers)

    def report(self) -> dict[str, t.Any]:
        """What a module returns about the release."""
        release = self.release
        action = "repair" if self.action == "none" and self.repairs else self.action
        return {
            "name": release.name,
            "namespace": release.namespace,
            "chart": release.chart,
            "action": action,
            "reasons": self.reasons + [f"{c.title}: {', '.join(c.reasons) or c.action}" for c in self.repairs],
            "kept": self.kept,
            "taken_over": [title(one.live) for one in self.takeovers],
            "restarted": [title(one.live) for one in self.takeovers if one.restarts],
        }
