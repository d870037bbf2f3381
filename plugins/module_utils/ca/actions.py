# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module ca_rotation does: install, rotate, renew, abort, status."""

from __future__ import annotations

import datetime
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ClusterError
from . import rotation
from .authority import Wishes, from_files, generated, renewed
from .certificates import fingerprints, require_cryptography
from .observe import now
from .present import CannotRotate, Present
from .procedure import Mesh, in_words
from .report import write_report
from .status import status
from .trust_bundle import Bundle


def run(params: t.Mapping[str, t.Any], cluster: Cluster, check_mode: bool) -> dict[str, t.Any]:
    """Does what the module's parameters ask for, and gives the module's result.

    :raises ClusterError: with the remedy; before anything is written wherever the cause could be seen then
    """
    require_cryptography()
    mesh = Mesh(cluster, params["namespace"], params["timeout"])
    if params["action"] == "status":
        return _with_report({"changed": False}, mesh, params)
    if not check_mode:
        mesh.resume()
    present = mesh.present()
    result = (_abort if params["action"] == "abort" else _forward)(mesh, present, params, check_mode)
    return _with_report(result, mesh, params) if params["report"] and not check_mode else result


def _with_report(result: dict, mesh: Mesh, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    found = status(mesh, now(), params["warn_days"])
    result = {**result, "status": found}
    if found["warnings"]:
        result["warnings"] = found["warnings"]
    if params["report"]:
        write_report(params["report"], found)
    return result


# -- forward --------------------------------------------------------------


def _forward(mesh: Mesh, present: Present, params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    moment = now()
    target, to_be_made = _target(mesh, present, params, moment, check_mode)
    if to_be_made:  # check mode makes no key
        return _would_make(mesh, present, params, to_be_made)
    if target is None or _same(present, target):
        return {"changed": False, "phases": [], "diff": _diff(present.bundle, present.bundle)}
    target.refuse_if_broken("the new CA", moment, params["min_days"])
    if not present.control_planes:
        return _first(mesh, target, params, check_mode)
    restarted = mesh.prepare(params["restart_proxies"], change=not check_mode)
    steps = rotation.all_steps(present.bundle, target, present.watched)
    if not check_mode:
        mesh.walk(present, target)
    return {
        "changed": True,
        "phases": mesh.phases if not check_mode else [{"phase": s.phase, "words": s.words} for s in steps],
        "restarted": restarted,
        "diff": _diff(present.bundle, target),
    }


def _same(present: Present, target: Bundle) -> bool:
    """Whether the mesh works with the target already, and nothing of a rotation is left over."""
    if present.bundle is None or not present.plugged or present.following or present.pending:
        return False
    return rotation.next_step(present.bundle, target) is None


def _target(
    mesh: Mesh, present: Present, params: t.Mapping[str, t.Any], moment: datetime.datetime, check_mode: bool
) -> tuple[Bundle | None, str]:
    """Where to go; None where the mesh may stay as it is. In check mode, words for what would be made."""
    action = params["action"]
    brought = from_files(params["files"]) if params["source"] == "files" else None
    if brought:
        brought.refuse_if_broken("files", moment, params["min_days"])
    under_way = present.following or present.pending
    if under_way:
        if brought and brought.signer != under_way.signer:
            raise CannotRotate(
                f"a rotation to {rotation.name(under_way.signer)} is under way, and files hold"
                f" {rotation.name(brought.signer)}: finish it first (run without files), or take it back with"
                " ca_rotation_abort: true"
            )
        if action == "renew" and set(under_way.trusted) != set(present.bundle.trusted):
            raise CannotRotate(
                f"a rotation to the root {rotation.name(under_way.root)} is under way: finish it with the entry point"
                " rotate, or take it back with ca_rotation_abort: true, and renew then"
            )
        return under_way, ""
    if action == "install" and present.plugged and present.bundle:
        if brought and brought.signer != present.bundle.signer:
            how = "renew" if brought.root in present.bundle.trusted else "rotate"
            raise CannotRotate(
                f"the mesh works with the CA {rotation.name(present.bundle.signer)} already; use the entry point"
                f" {how} to go on to {rotation.name(brought.signer)}"
            )
        present.bundle.refuse_if_broken("the CA in the secret cacerts", moment)
        return None, ""
    if present.bundle is None and present.control_planes:
        raise CannotRotate(
            f"istiod runs in the namespace {mesh.namespace}, but neither cacerts nor istio-ca-secret holds its CA:"
            " it uses an external one (EXTERNAL_CA, istio-csr), which is renewed where it comes from"
        )
    if action in ("rotate", "renew") and not present.control_planes:
        raise CannotRotate(
            f"no istiod runs in the namespace {mesh.namespace}: name the right one in ca_namespace,"
            " or use the entry point install before the control plane"
        )
    if action == "renew":
        return _renewal(mesh, present, params, moment, check_mode, brought)
    if brought:
        if action == "rotate" and fingerprints(brought.roots) == fingerprints(present.bundle.roots):
            if brought.signer == present.bundle.signer:
                return None, ""
            raise CannotRotate("files lead to the root in use: use the entry point renew for a new intermediate")
        return brought, ""
    if check_mode:
        return None, f"a new root ({params['key_type']}, {params['root_days']} days) with a new intermediate"
    wishes = _wishes(mesh, params)
    if present.control_planes:  # refuse before a root is made
        mesh.prepare(params["restart_proxies"], change=False)
    return generated(wishes, moment, present.bundle.root if present.bundle else None), ""


def _renewal(
    mesh: Mesh,
    present: Present,
    params: t.Mapping[str, t.Any],
    moment: datetime.datetime,
    check_mode: bool,
    brought: Bundle | None,
) -> tuple[Bundle | None, str]:
    if not present.plugged:
        raise CannotRotate("istiod signs with a root that it has made for itself: use the entry point rotate")
    if brought:
        if brought.root not in present.bundle.trusted:
            raise CannotRotate(f"files lead to another root, {rotation.name(brought.root)}: use the entry point rotate")
        if brought.signer == present.bundle.signer:
            return None, ""
        return brought, ""
    target = renewed(present.bundle, _wishes(mesh, params), moment)
    if check_mode:
        return None, f"a new intermediate under {rotation.name(present.bundle.root)}"
    return target, ""


def _wishes(mesh: Mesh, params: t.Mapping[str, t.Any]) -> Wishes:
    return Wishes(
        trust_domains=tuple(params["trust_domains"] or mesh.trust_domains()),
        root_days=params["root_days"],
        intermediate_days=params["intermediate_days"],
        key_type=params["key_type"],
        root_dir=params["root_dir"] or "",
        root_key=params["root_key"] or "",
    )


def _first(mesh: Mesh, target: Bundle, params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """A CA before there is a control plane: one write."""
    if not check_mode:
        mesh.write_first(target)
    words = f"sign with {rotation.name(target.signer)}, trust {rotation.names(target.trusted)}"
    return {"changed": True, "phases": [{"phase": "install", "words": words}], "diff": _diff(None, target)}


def _would_make(mesh: Mesh, present: Present, params: t.Mapping[str, t.Any], made: str) -> dict[str, t.Any]:
    """What check mode tells of a CA that isn't made yet."""
    running = present.bundle and present.control_planes
    restarted = mesh.prepare(params["restart_proxies"], change=False) if running else []
    phases = [{"phase": "install", "words": f"sign with {made}"}]
    if running:
        old = rotation.names(present.bundle.trusted)
        phases = [{"phase": "sign", "words": f"sign with {made} instead of {rotation.name(present.bundle.signer)}"}]
        if params["action"] != "renew":
            phases.insert(0, {"phase": "trust", "words": f"trust {made} beside {old}"})
            phases.append({"phase": "drop", "words": f"trust the new root alone; {old} is gone"})
        if not present.watched:
            adopt = rotation.all_steps(present.bundle, present.bundle, False)
            words = adopt[0].words if adopt else f"plug {rotation.name(present.bundle.signer)} in; restart istiod"
            phases.insert(0, {"phase": "adopt", "words": words})
    diff = {**_diff(present.bundle, None), "after": f"signer: {made}\n"}
    return {"changed": True, "phases": phases, "restarted": restarted, "diff": diff}


# -- back -----------------------------------------------------------------


def _abort(mesh: Mesh, present: Present, params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    if present.following is None or present.previous is None or present.bundle is None:
        return {"changed": False, "phases": [], "diff": _diff(present.bundle, present.bundle)}
    if present.pending:
        raise CannotRotate(
            "istiod hasn't taken the CA in cacerts, so there is nothing to take back from the mesh: run without"
            " ca_rotation_abort to go on"
        )
    steps = rotation.all_steps(present.bundle, present.previous, present.watched)
    if not check_mode:
        mesh.walk(present, present.previous, back=True)
    return {
        "changed": True,
        "phases": mesh.phases if not check_mode else [{"phase": s.phase, "words": s.words} for s in steps],
        "diff": _diff(present.bundle, present.previous),
    }


def _diff(before: Bundle | None, after: Bundle | None) -> dict[str, str]:
    """The CA before and after, in words and fingerprints, never with a key."""
    return {
        "before_header": "the CA that the mesh works with",
        "after_header": "the CA that the mesh works with",
        "before": in_words(before),
        "after": in_words(after),
    }


__all__ = ["ClusterError", "run"]
