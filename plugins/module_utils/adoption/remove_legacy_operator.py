# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Istio's own operator, which was in the cluster until 1.23, makes room for another one."""

from __future__ import annotations

import typing as t

from ..cluster.client import Cluster
from ..helm.ownership import release_of
from ..reconcile.diff import diff
from ..reconcile.identity import title
from ..reconcile.plan import Change
from .legacy_operator import belongings, find_installer, remove_object, stop_operator


def remove_former_operators(module: t.Any, cluster: Cluster) -> dict[str, t.Any]:
    """Takes operators of old out, with what belongs to them by their names; gives the module's result.

    IstioOperator objects, their definition and the mesh stay.
    """
    operators = find_installer(cluster).operators
    goes = [obj for operator in operators for obj in belongings(cluster, operator)]
    releases = sorted({release for release in map(release_of, operators) if release})
    result = {
        "changed": bool(goes),
        "removed": [title(obj) for obj in goes],
        "releases": [{"name": name, "namespace": namespace, "state": "absent"} for namespace, name in releases],
    }
    if goes and module._diff:
        result["diff"] = diff([Change.deletion(obj) for obj in goes])
    if module.check_mode:
        return result
    for operator in operators:
        stop_operator(cluster, operator, module.params["wait_timeout"])
    for obj in goes:
        remove_object(cluster, obj)
    return result
