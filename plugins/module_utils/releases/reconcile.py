# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A module's run over Helm releases: what its parameters declare, planned, and applied outside of check mode."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..cluster.client import Cluster
from ..errors import MeshopsError
from ..helm.chart_sources import Login
from ..helm.helm import Helm
from ..helm.releases import Release
from ..reconcile.types import K8sObject
from .apply import ApplyOptions, Busy, apply_releases
from .diff import diff
from .model import Action, ReleasePlan
from .plan import PlanOptions, plan_releases
from .undeclared import Owner, Users

_ATTEMPTS = 4
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

#: The options that say how charts are fetched from a private repository.
CHARTS_LOGIN_OPTIONS: dict[str, dict[str, t.Any]] = {
    "charts_username": {"type": "str"},
    "charts_password": {"type": "str", "no_log": True},
    "charts_ca_file": {"type": "path"},
}

#: The options that modules which install releases share.
HELM_OPTIONS: dict[str, dict[str, t.Any]] = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "atomic": {"type": "bool", "default": False},
    "binary_path": {"type": "path"},
    **CHARTS_LOGIN_OPTIONS,
}

#: The option of those that take over objects only on request.
OWNERSHIP_OPTION: dict[str, dict[str, t.Any]] = {"take_ownership": {"type": "bool", "default": False}}

#: Options that hold values of charts, and with them passwords: they are neither logged nor returned.
UNLOGGED = ("releases", "values", "mesh_config", "istio_operator", "control_plane")

#: The option C(releases), as C(declared_releases) reads it.
RELEASES_OPTION: dict[str, t.Any] = {
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

Result = dict[str, t.Any]


def open_helm(params: t.Mapping[str, t.Any], cluster: Cluster | None = None) -> Helm:
    """The helm that a module's parameters describe."""
    login = Login(*(params.get(name) or "" for name in CHARTS_LOGIN_OPTIONS))
    return Helm(cluster, params.get("binary_path"), login)


def declared_releases(params: t.Mapping[str, t.Any], others: t.Iterable[str] = ()) -> list[Release]:
    """The releases that a module's parameters declare.

    :param others: names of further releases that these may come after
    :raises MeshopsError: a release has no chart, or comes after one that is not declared
    """
    releases = []
    known = {*others, *(given["name"] for given in params["releases"])}
    for given in params["releases"]:
        if given["state"] == "present" and not given["chart"]:
            raise MeshopsError(f"release {given['name']} has no chart: set chart to its name, path or address")
        unknown = [name for name in given["after"] if name not in known]
        if unknown:
            raise MeshopsError(
                f"release {given['name']} comes after {', '.join(unknown)}, and that release does not exist (NotFound):"
                f" after takes the names of {', '.join(sorted(known))}"
            )
        chosen = {name: value for name, value in given.items() if value not in (None, "")}
        chosen["owner"] = params.get("owner") or ""
        chosen.setdefault("charts", params.get("charts"))
        chosen.setdefault("version", params.get("version"))
        releases.append(Release(**{"chart": "", **chosen}))
    return releases


@dataclasses.dataclass(frozen=True)
class Rules:
    """What another room knows of releases.

    :ivar remedy: what else helps where objects of others exist
    :ivar users: finds what uses a release that will be uninstalled
    :ivar problems: why objects that will be installed would not start. It is a warning where the task does not wait for
        them, and in check mode, because what they need may be installed by then; else an error
    """

    remedy: str = ""
    users: Users | None = None
    problems: t.Callable[[Cluster, t.Sequence[K8sObject]], list[str]] | None = None


def reconcile_releases(
    module: t.Any, cluster: Cluster, helm: Helm, releases: t.Sequence[Release], rules: Rules | None = None
) -> Result:
    """Plans releases, and outside of check mode applies them; gives the module's result.

    :param module: an AnsibleModule with C(HELM_OPTIONS) and C(OWNERSHIP_OPTION)
    :raises MeshopsError: its C(result) says what was planned
    """
    params = module.params
    if params.get("owner") and not _LABEL.fullmatch(params["owner"]):
        raise MeshopsError(
            f"owner {params['owner']!r} is not a valid label value: use at most 63 letters, digits, '-', '_' and '.'"
        )
    owner = Owner(params["owner"], prune=params["prune"]) if params.get("owner") else None
    rules = rules or Rules()
    options = PlanOptions(params["take_ownership"], owner, params["wait_timeout"], rules.users, rules.remedy)
    plans = plan_releases(cluster, helm, releases, options)
    result = planned_result(module, cluster, plans)
    problems = rules.problems(cluster, installed(plans)) if rules.problems else []
    if problems and params["wait"] and not module.check_mode:
        raise MeshopsError("; ".join(problems), result)
    warnings = [*plans.notes, *result.get("warnings", []), *problems]
    if warnings:
        result["warnings"] = warnings
    if not module.check_mode:
        apply_plans(module, cluster, helm, plans, result, options)
    return result


def installed(plans: t.Sequence[ReleasePlan]) -> list[K8sObject]:
    """The objects of the releases for which helm will run."""
    changing = (plan for plan in plans if plan.action in (Action.INSTALL, Action.UPGRADE))
    return [obj for plan in changing for obj in plan.objects]


def planned_result(module: t.Any, cluster: Cluster, plans: t.Sequence[ReleasePlan]) -> Result:
    """What a module returns about plans."""
    result: Result = {"changed": any(one.changed for one in plans), "releases": [one.report() for one in plans]}
    if result["changed"] and module._diff:
        result["diff"] = diff(cluster, plans)
    warnings = [line for one in plans for line in one.warnings]
    if warnings:
        result["warnings"] = warnings
    return result


def apply_plans(
    module: t.Any, cluster: Cluster, helm: Helm, plans: t.Sequence[ReleasePlan], result: Result, options: PlanOptions
) -> None:
    """Applies plans as a module's parameters say.

    :param result: what an error has as its C(result); says afterwards what was done
    :raises MeshopsError: a release doesn't become ready
    """
    params = module.params
    how = ApplyOptions(params["wait_timeout"], atomic=params["atomic"], wait=params["wait"])
    applied: dict[tuple[str, str], ReleasePlan] = {}
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            apply_releases(cluster, helm, plans, how)
            return
        except MeshopsError as error:
            error.result = {**result, **error.result}
            if not isinstance(error, Busy) or attempt == _ATTEMPTS:
                raise
            applied |= {one.release.id: one for one in plans if one.changed and one.release.id in error.completed}
        # what a killed run has left is still at work
        plans = plan_releases(cluster, helm, [one.release for one in plans], options)
        result |= planned_result(module, cluster, [_done(one, applied) for one in plans])


def _done(one: ReleasePlan, applied: t.Mapping[tuple[str, str], ReleasePlan]) -> ReleasePlan:
    """What this run has done to a release, where another attempt finds nothing left to do."""
    return one if one.changed else applied.get(one.release.id, one)
