# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module ca_rotation does: install, rotate, renew, abort, status."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ..cluster.client import Cluster
from ..errors import MeshopsError
from ..mesh.certificates import fingerprints, require_cryptography
from . import rotation
from .authority import Wishes, from_files, generated, prepared_root, renewed
from .observe import now
from .present import CannotRotate, Present
from .procedure import Mesh, in_words
from .report import refuse_unwritable, write_report
from .status import status
from .trust_bundle import Bundle


def run(params: t.Mapping[str, t.Any], cluster: Cluster, check_mode: bool) -> dict[str, t.Any]:
    """Does what the module's parameters ask for, and gives the module's result.

    :raises MeshopsError: with the remedy; before anything is written wherever the cause could be seen then
    """
    require_cryptography()
    if params["report"]:
        refuse_unwritable(params["report"])
    mesh = Mesh(cluster, params["namespace"], params["timeout"])
    if params["action"] == "status":
        return _with_status({"changed": False}, mesh, params, write=not check_mode)
    if not check_mode:
        mesh.resume()
    present = mesh.present()
    result = (_abort if params["action"] == "abort" else _forward)(mesh, present, params, check_mode)
    return _with_status(result, mesh, params) if params["report"] and not check_mode else result


def _with_status(result: dict, mesh: Mesh, params: t.Mapping[str, t.Any], write: bool = True) -> dict[str, t.Any]:
    found = status(mesh, now(), params["warn_days"])
    result = {**result, "status": found}
    result["warnings"] = [*result.get("warnings", []), *found["warnings"]]
    if params["report"] and write:
        try:
            write_report(params["report"], found)
        except MeshopsError as error:  # what was done is worth more than the page
            result["warnings"].append(str(error))
    return result


@dataclasses.dataclass(frozen=True)
class ToBeMade:
    """A CA that check mode doesn't make, in words: what the intermediate stands under, and the whole."""

    root: str

    @property
    def signer(self) -> str:
        return f"a new intermediate under {self.root}"


# -- forward --------------------------------------------------------------


def _forward(mesh: Mesh, present: Present, params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    moment = now()
    if present.bundle is None and not present.control_planes:
        mesh.refuse_foreign_hands()  # before a root is made
    target = _target(mesh, present, params, moment, check_mode)
    if isinstance(target, ToBeMade):
        return _would_make(mesh, present, params, target)
    if target is None or _same(present, target):
        return {"changed": False, "phases": [], "diff": _diff(present.bundle, present.bundle)}
    signed, _aliases = mesh.trust_domains(params["mesh_config"])
    target.refuse_if_broken("the new CA", moment, params["min_days"], signed)
    if not present.control_planes:
        return _first(mesh, target, params, check_mode)
    restarted = _prepare(mesh, present, target, params, change=not check_mode)
    steps = _steps(present, target)
    if not check_mode:
        mesh.walk(present, target)
    result = {
        "changed": True,
        "phases": mesh.phases if not check_mode else _planned(steps),
        "restarted": restarted,
        "diff": _diff(present.bundle, target, _planned(steps), restarted),
    }
    return result if check_mode else {**result, "not_ready": mesh.not_ready()}


def _steps(present: Present, target: Bundle) -> list[rotation.Step]:
    return rotation.all_steps(present.bundle, target, present.watched, present.lost, present.multi_root)


def _planned(steps: list[rotation.Step]) -> list[dict[str, str]]:
    return [{"phase": step.phase, "words": step.words} for step in steps]


def _prepare(
    mesh: Mesh, present: Present, target: Bundle | None, params: t.Mapping[str, t.Any], change: bool
) -> list[str]:
    """What is restarted so that the mesh can follow; nothing where no root changes, since nobody is cut off then.

    :param target: None where it is a root that isn't made yet
    """
    if target is not None and rotation.same_roots(present.bundle, target):
        mesh.refuse_foreign_hands()
        return []
    return mesh.prepare(params["restart_proxies"], change, params["unproven_proxies"])


def _same(present: Present, target: Bundle) -> bool:
    """Whether the mesh works with the target already, and nothing of a rotation is left over."""
    if present.bundle is None or not present.plugged or present.following or present.pending:
        return False
    return rotation.next_step(present.bundle, target) is None


def _target(
    mesh: Mesh, present: Present, params: t.Mapping[str, t.Any], moment: datetime.datetime, check_mode: bool
) -> Bundle | ToBeMade | None:
    """Where to go; None where the mesh may stay as it is."""
    action = params["action"]
    brought = from_files(params["files"]) if params["source"] == "files" else None
    if brought:
        brought.refuse_if_broken("files", moment, params["min_days"], mesh.trust_domains(params["mesh_config"])[0])
    under_way = present.following or present.pending
    if under_way:
        if brought and brought.signer != under_way.signer:
            raise CannotRotate(
                f"a rotation to {rotation.name(under_way.signer)} is under way, and files hold"
                f" {rotation.name(brought.signer)}: finish it first (run without files), or take it back with"
                " ca_rotation_abort: true"
            )
        if action == "renew" and not rotation.same_roots(present.bundle, under_way):
            raise CannotRotate(
                f"a rotation to the root {rotation.name(under_way.root)} is under way: finish it with the entry point"
                " rotate, or take it back with ca_rotation_abort: true, and renew then"
            )
        return under_way
    if action == "install" and present.plugged and present.bundle:
        if brought and brought.signer != present.bundle.signer:
            how = "renew" if brought.root in present.bundle.trusted else "rotate"
            raise CannotRotate(
                f"the mesh works with the CA {rotation.name(present.bundle.signer)} already; use the entry point"
                f" {how} to go on to {rotation.name(brought.signer)}"
            )
        signed, _aliases = mesh.trust_domains(params["mesh_config"])
        present.bundle.refuse_if_broken("the CA in the secret cacerts", moment, 0, signed)
        return None
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
                return None
            raise CannotRotate("files lead to the root in use: use the entry point renew for a new intermediate")
        return brought
    wishes = _wishes(mesh, params)
    if present.control_planes:  # refuse before a root is made
        _prepare(mesh, present, None, params, change=False)
    not_this = present.bundle.root if present.bundle else None
    made = generated(wishes, moment, not_this, keep=not check_mode)
    if not check_mode:
        return made
    if prepared_root(wishes):
        return ToBeMade(f"the root {rotation.name(made.root)} that {params['root_dir']} holds")
    return ToBeMade(f"a new root ({params['key_type']}, {params['root_days']} days)")


def _renewal(
    mesh: Mesh,
    present: Present,
    params: t.Mapping[str, t.Any],
    moment: datetime.datetime,
    check_mode: bool,
    brought: Bundle | None,
) -> Bundle | ToBeMade | None:
    if not present.plugged:
        raise CannotRotate("istiod signs with a root that it has made for itself: use the entry point rotate")
    if brought:
        if brought.root not in present.bundle.trusted:
            raise CannotRotate(f"files lead to another root, {rotation.name(brought.root)}: use the entry point rotate")
        if brought.signer == present.bundle.signer:
            return None
        if not rotation.same_roots(present.bundle, brought):
            raise CannotRotate(
                f"files trust {rotation.names(brought.trusted)}, and the mesh {rotation.names(present.bundle.trusted)}:"
                " a renewal changes no root, use the entry point rotate"
            )
        return brought
    target = renewed(present.bundle, _wishes(mesh, params), moment)
    return ToBeMade(f"the root {rotation.name(target.root)}") if check_mode else target


def _wishes(mesh: Mesh, params: t.Mapping[str, t.Any]) -> Wishes:
    signed, aliases = mesh.trust_domains(params["mesh_config"])
    return Wishes(
        trust_domains=tuple(params["trust_domains"] or [*signed, *aliases] or ["cluster.local"]),
        root_days=params["root_days"],
        intermediate_days=params["intermediate_days"],
        key_type=params["key_type"],
        root_dir=params["root_dir"] or "",
        root_key=params["root_key"] or "",
        min_days=params["min_days"],
        signed_domains=tuple(signed),
    )


def _first(mesh: Mesh, target: Bundle, params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """A CA before there is a control plane: one write."""
    if not check_mode:
        mesh.write_first(target)
    words = f"sign with {rotation.name(target.signer)}, trust {rotation.names(target.trusted)}"
    phases = [{"phase": "install", "words": words}]
    return {"changed": True, "phases": phases, "diff": _diff(None, target, phases), **_guessed(mesh, params)}


def _guessed(mesh: Mesh, params: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """A warning where an intermediate is bound to a trust domain that nothing has told."""
    signed, _aliases = mesh.trust_domains(params["mesh_config"])
    if signed or params["trust_domains"] or params["source"] == "files":
        return {}
    return {
        "warnings": [
            "the new intermediate may sign for the trust domain cluster.local alone: where meshConfig.trustDomain will"
            " be another, delete the secret cacerts and run this again with ca_trust_domains"
        ]
    }


def _would_make(mesh: Mesh, present: Present, params: t.Mapping[str, t.Any], made: ToBeMade) -> dict[str, t.Any]:
    """What check mode tells of a CA that isn't made yet."""
    after = f"signer: {made.signer}\ntrusted root: {made.root}\n"
    if not (present.bundle and present.control_planes):
        phases = [{"phase": "install", "words": f"sign with {made.signer}"}]
        diff = _diff(present.bundle, after, phases)
        return {"changed": True, "phases": phases, "restarted": [], "diff": diff, **_guessed(mesh, params)}
    renewal = params["action"] == "renew"
    restarted = _prepare(mesh, present, present.bundle if renewal else None, params, change=False)
    words = f"sign with {made.signer} instead of {rotation.name(present.bundle.signer)}"
    phases = [{"phase": "sign", "words": words}]
    if not renewal:
        old = rotation.names(present.bundle.trusted)
        phases.insert(0, {"phase": "trust", "words": f"trust {made.root} beside {old}"})
        phases.append({"phase": "drop", "words": f"trust {made.root} alone; {old} is gone"})
    if not present.watched:
        adopt = rotation.all_steps(present.bundle, present.bundle, False, lost=True)
        phases.insert(0, {"phase": "adopt", "words": adopt[0].words})
    diff = _diff(present.bundle, after, phases, restarted)
    return {"changed": True, "phases": phases, "restarted": restarted, "diff": diff}


# -- back -----------------------------------------------------------------


def _abort(mesh: Mesh, present: Present, params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    if present.following is not None and present.bundle is None:
        raise CannotRotate(
            "the secret cacerts was deleted in the middle of a rotation, and no istiod runs: put back what it held"
            " (cacerts-previous has what it held before the rotation), or go on to the new CA with the entry point"
            " install"
        )
    if present.following is None or present.previous is None or present.bundle is None:
        return {"changed": False, "phases": [], "diff": _diff(present.bundle, present.bundle)}
    if present.pending:
        raise CannotRotate(
            "istiod hasn't taken the CA in cacerts, so there is nothing to take back from the mesh: run without"
            " ca_rotation_abort to go on"
        )
    steps = _steps(present, present.previous)
    if not check_mode:
        mesh.walk(present, present.previous, back=True)
    return {
        "changed": True,
        "phases": mesh.phases if not check_mode else _planned(steps),
        "diff": _diff(present.bundle, present.previous, _planned(steps)),
    }


def _diff(
    before: Bundle | None,
    after: Bundle | str | None,
    phases: t.Sequence[t.Mapping[str, str]] = (),
    restarted: t.Sequence[str] = (),
) -> dict[str, str]:
    """The CA before and after, and the way from one to the other, in words and fingerprints, never with a key."""
    way = [f"restart first: {workload}" for workload in restarted]
    way += [f"phase {step['phase']}: {step['words']}" for step in phases]
    return {
        "before_header": "the CA that the mesh works with",
        "after_header": "the CA that the mesh works with, and how it comes to it",
        "before": in_words(before),
        "after": "\n".join([(after if isinstance(after, str) else in_words(after)).rstrip("\n"), *way, ""]),
    }


__all__ = ["MeshopsError", "run"]
