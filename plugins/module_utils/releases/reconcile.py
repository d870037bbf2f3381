# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A module's run over Helm releases: what its parameters declare, planned, and applied outside of check mode."""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..helm.helm import Helm
from ..helm.releases import Release
from .apply import Busy, apply_releases
from .model import ReleasePlan
from .plan import diff, plan_releases
from .render import ReleaseError

_ATTEMPTS = 4

#: The options that modules which install releases share.
HELM_OPTIONS = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "atomic": {"type": "bool", "default": False},
    "binary_path": {"type": "path"},
}

#: The option of those that take over objects only where they are told to.
OWNERSHIP_OPTION = {"take_ownership": {"type": "bool", "default": False}}

#: The option C(releases), as C(declared_releases) reads it.
RELEASES_OPTION = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str", "required": True},
        "chart": {"type": "str"},
        "charts": {"type": "str"},
        "version": {"type": "str"},
        "digest": {"type": "str"},
        "values": {"type": "dict", "default": {}},
        "patches": {"type": "list", "elements": "dict", "default": []},
        "objects": {"type": "list", "elements": "dict", "default": []},
        "after": {"type": "list", "elements": "str", "default": []},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    },
}


def declared_releases(params: t.Mapping[str, t.Any]) -> list[Release]:
    """The releases that a module's parameters declare.

    :raises ReleaseError: a release that is to be there has no chart
    """
    releases = []
    for given in params["releases"]:
        if given["state"] == "present" and not given["chart"]:
            raise ReleaseError(f"release {given['name']} has no chart: say which with the option chart")
        chosen = {name: value for name, value in given.items() if value not in (None, "")}
        chosen.setdefault("charts", params.get("charts"))
        chosen.setdefault("version", params.get("version"))
        releases.append(Release(**{"chart": "", **chosen}))
    return releases


def reconcile_releases(module: t.Any, cluster: Cluster, helm: Helm, releases: t.Sequence[Release]) -> dict[str, t.Any]:
    """Plans releases, and outside of check mode applies them; gives the module's result.

    :param module: an AnsibleModule with C(HELM_OPTIONS) and C(OWNERSHIP_OPTION)
    :raises ReleaseError: its C(result) says what was planned
    """
    take_ownership = module.params["take_ownership"]
    plans = plan_releases(cluster, helm, releases, take_ownership)
    result = planned_result(module, plans)
    if not module.check_mode:
        apply_plans(module, cluster, helm, plans, result, take_ownership)
    return result


def planned_result(module: t.Any, plans: t.Sequence[ReleasePlan]) -> dict[str, t.Any]:
    """What a module returns about plans; their warnings become the module's."""
    result = {"changed": any(one.changed for one in plans), "releases": [one.report() for one in plans]}
    if result["changed"] and module._diff:
        result["diff"] = diff(plans)
    for line in [line for one in plans for line in one.warnings]:
        module.warn(line)
    return result


def apply_plans(
    module: t.Any,
    cluster: Cluster,
    helm: Helm,
    plans: t.Sequence[ReleasePlan],
    result: dict[str, t.Any],
    take_ownership: bool,
) -> None:
    """Applies plans as a module's parameters say.

    :param result: what an error has as its C(result)
    :raises ReleaseError: a release doesn't come up
    """
    params = module.params
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return apply_releases(cluster, helm, plans, params["wait_timeout"], params["atomic"], params["wait"])
        except ReleaseError as error:
            error.result = {**result, **error.result}
            if not isinstance(error, Busy) or attempt == _ATTEMPTS:
                raise
        # what a run that was killed has left behind is still at work
        plans = plan_releases(cluster, helm, [one.release for one in plans], take_ownership)
    return None
