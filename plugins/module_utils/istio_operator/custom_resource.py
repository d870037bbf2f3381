# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An IstioOperator object in a cluster whose operator carries it out: applied, and waited for."""

from __future__ import annotations

import copy
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.kinds import Kind
from ..errors import MeshopsError
from ..objects.options import ApplyOptions
from ..objects.reconcile import reconcile_objects
from ..reconcile.diff import diff
from ..reconcile.plan import Change
from .translate import read_document

_KIND = Kind("install.istio.io", "v1alpha1", "IstioOperator", "istiooperators", namespaced=True)
_POLICY = "deletionPolicy"
_POLL = 0.5


def istio_operator_object(given: t.Any, namespace: str, name: str) -> dict[str, t.Any]:
    """The object to apply.

    :param given: an IstioOperator document, as a dict or a file's path
    :param namespace: where the document names none
    :param name: what it is called where the document doesn't say
    :raises MeshopsError: the document is not valid
    """
    policy = None
    if isinstance(given, dict) and isinstance(given.get("spec"), dict) and _POLICY in given["spec"]:
        given = copy.deepcopy(given)
        policy = given["spec"].pop(_POLICY)
        if policy not in ("Delete", "Retain"):
            raise MeshopsError(f"spec.{_POLICY} is {policy!r}: it must be Delete or Retain")
    document = read_document(given)
    spec = document.get("spec") or {}
    meta = {"name": name, "namespace": namespace, **(document.get("metadata") or {})}
    spec = {**spec, _POLICY: policy} if policy else spec
    return {"apiVersion": _KIND.api_version, "kind": _KIND.kind, "metadata": meta, "spec": spec}


def reconcile_istio_operator(module: t.Any, cluster: Cluster) -> dict[str, t.Any]:
    """Applies or deletes the object of a module's parameters, and waits for the operator; gives the module's result."""
    params = module.params
    obj = istio_operator_object(params["definition"], params["namespace"], params["name"])
    if not cluster.discover(_KIND.api_version):
        if module.check_mode:  # the operator that brings the kind would be installed before
            return _foreseen(module, obj)
        raise MeshopsError(
            "the cluster doesn't know IstioOperator: install the operator first, with the role meshops.istio.operator"
        )
    timeout = params["wait_timeout"]
    options = ApplyOptions(
        state=params["state"],
        force_conflicts=True,
        return_objects=True,
        wait_timeout=timeout,
        wait=params["wait"] and params["state"] == "absent",
    )
    found = reconcile_objects(module, cluster, [obj], options)
    entry = found["objects"][0]
    result = {"changed": found["changed"], "action": entry["action"], "components": [], "message": ""}
    if found.get("diff"):
        result["diff"] = found["diff"][0]
    if params["wait"] and params["state"] == "present" and not module.check_mode:
        return _wait(cluster, obj["metadata"], timeout, result)
    return {**result, **reported_status(entry.get("object") or {})}


def _foreseen(module: t.Any, obj: dict[str, t.Any]) -> dict[str, t.Any]:
    """What would be done in a cluster that doesn't know the kind yet."""
    comes = module.params["state"] == "present"
    result = {"changed": comes, "action": "created" if comes else "unchanged", **reported_status({})}
    if comes and module._diff:
        meta = obj["metadata"]
        created = Change("create", obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"], after=obj)
        result["diff"] = diff([created])[0]
    return result


def reported_status(live: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the object's status reports: C(components) and C(message)."""
    status = live.get("status") or {}
    return {"components": status.get("components") or [], "message": status.get("message") or ""}


def verdict(live: t.Mapping[str, t.Any]) -> tuple[bool, str]:
    """Whether the operator is done with the object's present generation, and why it could not do it."""
    status = live.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    if ready.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return False, ""
    if ready.get("status") == "True":
        return True, ""
    if status.get("state") in ("Invalid", "Failed"):
        return True, ready.get("message") or status["state"]
    return False, ""


def _wait(cluster: Cluster, meta: dict[str, t.Any], timeout: float, result: dict[str, t.Any]) -> dict[str, t.Any]:
    where = f"IstioOperator {meta['namespace']}/{meta['name']}"
    deadline = time.monotonic() + timeout
    while True:
        live = cluster.get(_KIND, meta["name"], meta["namespace"]) or {"metadata": {"generation": 1}}
        done, problem = verdict(live)
        result.update(reported_status(live))
        if problem:
            raise MeshopsError(f"{where}: {problem}", result)
        if done:
            return result
        if time.monotonic() > deadline:
            why = result["message"] or "no operator has read it: does it run, and watch this namespace?"
            raise MeshopsError(f"{where} is not ready after {timeout:.0f} s: {why}", result)
        time.sleep(_POLL)
