# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stages of a release in the plan: rendered, compared, planned. Each is made once, from the one before."""

from __future__ import annotations

import dataclasses
import enum
import typing as t

from ..helm.releases import Release
from ..helm.stored import Stored
from ..reconcile.identity import Key, title
from ..reconcile.plan import Change
from ..reconcile.types import K8sObject
from .foreign_fields import ForeignField
from .takeover import Takeover


class Action(str, enum.Enum):  # noqa: UP042 - modules run on older interpreters, too
    """What helm does with a release."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    UNINSTALL = "uninstall"
    NONE = "none"


class Reason(enum.Enum):
    """Why a release changes; the value is the code in a module's result."""

    NOT_INSTALLED = "not-installed"
    INTERRUPTED = "interrupted"
    UNINSTALLING = "uninstalling"
    NOT_DEPLOYED = "not-deployed"
    MANIFEST = "manifest"
    VALUES = "values"
    CHART = "chart-version"
    ABSENT = "absent"
    UNDECLARED = "undeclared"
    OWNER = "owner"
    LEFTOVER = "leftover"
    DEFINITION = "definition"
    API_REMOVED = "api-removed"
    DRIFT = "drift"


@dataclasses.dataclass(frozen=True)
class Cause:
    """A reason, and its sentence."""

    reason: Reason
    text: str


class Stage(enum.Enum):
    """The step at which a release failed; the value is the code in a module's result."""

    TAKEOVER = "takeover"
    DEFINITIONS = "definitions"
    HELM = "helm"
    REPAIR = "repair"
    READY = "ready"
    UNINSTALL = "uninstall"


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A release, what Helm has stored of it, and what its chart renders to.

    :ivar stored: the newest record, or None
    :ivar base: the record that helm upgrades from, or None
    :ivar failed: the records of revisions that failed or were interrupted
    :ivar before: the objects of the base's manifest
    :ivar objects: the declared objects, patched
    :ivar definitions: CustomResourceDefinitions in the chart's folder C(crds)
    :ivar text: what the chart renders to
    :ivar chart_version: the version of the chart that was found
    :ivar deduplicated: whether repeated environment variables were removed from the objects
    """

    release: Release
    stored: Stored | None = None
    base: Stored | None = None
    failed: tuple[Stored, ...] = ()
    before: t.Sequence[K8sObject] = ()
    objects: t.Sequence[K8sObject] = ()
    definitions: t.Sequence[K8sObject] = ()
    text: str = ""
    chart_version: str = ""
    deduplicated: bool = False
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Compared:
    """A rendered release, and whether helm has to run for it."""

    rendered: Rendered
    action: Action
    causes: tuple[Cause, ...] = ()


@dataclasses.dataclass(frozen=True)
class ReleasePlan:
    """What is done for one release.

    :ivar action: what helm does
    :ivar causes: why
    :ivar stored: the newest record, or None
    :ivar base: the record that helm upgrades from, or None
    :ivar good: the newest deployed record, or None
    :ivar good_was_ready: whether that revision was seen ready; else the history is searched for one
    :ivar objects: the declared objects, patched
    :ivar live: those of them that exist, as they are
    :ivar before: the objects of the base's manifest
    :ivar rendered: what the chart renders to
    :ivar manifest: what helm installs instead of what the chart renders, or None
    :ivar changes: one an object, repairs, definitions and leftovers among them
    :ivar repairs: live objects that have drifted and that helm itself would leave so
    :ivar definitions: changes of the CustomResourceDefinitions in the chart's folder C(crds)
    :ivar leftovers: deletions of what failed revisions have created and no revision has any more
    :ivar takeovers: objects that exist already and become the release's before helm runs
    :ivar repaired_manifest: the base's manifest without APIs that the cluster no longer serves, or None
    :ivar kept: fields that differ but that others own
    :ivar owner: the inventory that the release's record is labelled with; empty for none
    :ivar relabel: whether the record lacks that label
    :ivar create_namespace: whether helm creates the release's namespace
    """

    release: Release
    action: Action = Action.NONE
    causes: tuple[Cause, ...] = ()
    stored: Stored | None = None
    base: Stored | None = None
    good: Stored | None = None
    good_was_ready: bool = True
    objects: t.Sequence[K8sObject] = ()
    live: t.Mapping[Key, K8sObject] = dataclasses.field(default_factory=dict)
    before: t.Mapping[Key, K8sObject] = dataclasses.field(default_factory=dict)
    rendered: str = ""
    manifest: str | None = None
    changes: tuple[Change, ...] = ()
    repairs: tuple[Change, ...] = ()
    definitions: tuple[Change, ...] = ()
    leftovers: tuple[Change, ...] = ()
    takeovers: tuple[Takeover, ...] = ()
    repaired_manifest: str | None = None
    kept: tuple[ForeignField, ...] = ()
    warnings: tuple[str, ...] = ()
    owner: str = ""
    relabel: bool = False
    create_namespace: bool = True

    @property
    def changed(self) -> bool:
        """Whether applying the plan changes anything."""
        steps = (self.repairs, self.takeovers, self.leftovers, self.definitions)
        return self.action is not Action.NONE or self.relabel or any(steps)

    @property
    def revision(self) -> int:
        """The revision that helm creates, or the one that remains."""
        newest = self.stored
        if newest is None or (newest.status == "uninstalling" and self.action is not Action.NONE):
            return 1
        if self.action is Action.NONE or newest.is_pending:
            return newest.revision
        return newest.revision + 1

    def report(self) -> dict[str, t.Any]:
        """What a module returns about the release."""
        release = self.release
        repairs = self.action is Action.NONE and (self.repairs or self.definitions or self.leftovers)
        drift = [Cause(Reason.DRIFT, f"{c.title}: {', '.join(c.reasons) or c.action}") for c in self.repairs]
        causes = [*self.causes, *drift]
        return {
            "name": release.name,
            "namespace": release.namespace,
            "chart": release.chart,
            "action": "repair" if repairs else self.action.value,
            "reasons": [cause.text for cause in causes],
            "reason_codes": list(dict.fromkeys(cause.reason.value for cause in causes)),
            "kept": [field.text for field in self.kept if field.owner],
            "taken_over": [title(takeover.live) for takeover in self.takeovers],
            "restarted": [title(takeover.live) for takeover in self.takeovers if takeover.restarts],
        }
