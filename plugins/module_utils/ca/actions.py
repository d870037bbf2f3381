# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module ca_rotation does: install, rotate, renew, abort, status."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ..cluster.client import Cluster
from ..errors import MeshopsError
from ..mesh.certificates import require_cryptography
from . import rotation
from .authority import CaSpec, from_files, generated, prepared_root, renewed
from .decision import Decision, Generate, Keep, Options, Refuse, Use, decide
from .gate import CannotRotate, Reason
from .lock import Lock
from .observe import now
from .present import Present
from .procedure import Mesh, in_words
from .report import refuse_unwritable, write_report
from .status import status
from .trust_bundle import Bundle

Result = dict[str, t.Any]


def run(params: t.Mapping[str, t.Any], cluster: Cluster, *, check_mode: bool) -> Result:
    """Does what the module's parameters ask for, and gives the module's result.

    :raises MeshopsError: with the remedy; before anything is written wherever the cause could be seen then
    """
    require_cryptography()
    options = Options.from_params(params)
    if options.report:
        refuse_unwritable(options.report)
    if options.action == "status" or check_mode:
        mesh = Mesh(cluster, options.namespace, options.timeout)
        if options.action == "status":
            return _with_status({"changed": False}, mesh, options, write=not check_mode)
        return _change(mesh, options, check_mode=check_mode)
    with Lock(cluster, options.namespace) as lock:
        mesh = Mesh(cluster, options.namespace, options.timeout, lock.check)
        mesh.resume()
        result = _change(mesh, options, check_mode=check_mode)
    return _with_status(result, mesh, options) if options.report else result


def _change(mesh: Mesh, options: Options, *, check_mode: bool) -> Result:
    present = mesh.present()
    return (_abort if options.action == "abort" else _forward)(mesh, present, options, check_mode=check_mode)


def _with_status(result: Result, mesh: Mesh, options: Options, *, write: bool = True) -> Result:
    current = status(mesh, now(), options.warn_days)
    result = {**result, "status": current}
    result["warnings"] = [*result.get("warnings", []), *current["warnings"]]
    if options.report and write:
        try:
            write_report(options.report, current)
        except MeshopsError as error:  # what was done is worth more than the page
            result["warnings"].append(str(error))
    return result


@dataclasses.dataclass(frozen=True)
class ToBeMade:
    """A CA that check mode doesn't make, in words: what the intermediate is under."""

    root: str

    @property
    def signer(self) -> str:
        return f"a new intermediate under {self.root}"


# -- forward --------------------------------------------------------------


def _forward(mesh: Mesh, present: Present, options: Options, *, check_mode: bool) -> Result:
    moment = now()
    if present.bundle is None and not present.control_planes:
        mesh.refuse_managed_secret(accept=options.accept_managed_secret)  # before a root is made
    signed, _aliases = mesh.trust_domains(options.mesh_config)
    brought = from_files(options.files) if options.files else None
    if brought:
        brought.refuse_if_broken("files", moment, options.min_days, signed)
    decision = decide(options.action, present, brought, mesh.namespace)
    if isinstance(decision, Refuse):
        if present.bundle and options.action == "install":  # what is in use may be the cause
            present.bundle.refuse_if_broken("the CA in the secret cacerts", moment, 0, signed)
        raise CannotRotate(decision.obstacle.message, decision.obstacle)
    if isinstance(decision, Keep) and present.bundle and options.action == "install":
        present.bundle.refuse_if_broken("the CA in the secret cacerts", moment, 0, signed)
    target = _target(mesh, present, options, decision, check_mode=check_mode)
    if isinstance(target, ToBeMade):
        return _would_make(mesh, present, options, target)
    if target is None or _same(present, target):
        return {"changed": False, "phases": [], "diff": _diff(present.bundle, present.bundle)}
    target.refuse_if_broken("the new CA", moment, options.min_days, signed)
    if not present.control_planes or present.bundle is None:
        return _first(mesh, target, options, check_mode=check_mode)
    restarted = _prepare(mesh, present, target, options, check_mode=check_mode)
    steps = _steps(present, present.bundle, target)
    if not check_mode:
        mesh.walk(present, target)
    result = {
        "changed": True,
        "phases": mesh.phases if not check_mode else _planned(steps),
        "restarted": restarted,
        "diff": _diff(present.bundle, target, _planned(steps), restarted),
    }
    return result if check_mode else {**result, "not_ready": mesh.not_ready()}


def _target(
    mesh: Mesh, present: Present, options: Options, decision: Decision, *, check_mode: bool
) -> Bundle | ToBeMade | None:
    """The CA that a decision leads to, made where it must be; None where the mesh may stay as it is."""
    if isinstance(decision, Use):
        return decision.bundle
    if not isinstance(decision, Generate):
        return None
    if present.control_planes:  # refuse before a root is made
        _prepare(mesh, present, decision.under, options, check_mode=True)
    return _generate(_spec(mesh, options), decision, now(), check_mode=check_mode)


def _generate(spec: CaSpec, decision: Generate, moment: datetime.datetime, *, check_mode: bool) -> Bundle | ToBeMade:
    """The only place that makes a CA; check mode makes one to see that it can be, and keeps nothing of it."""
    if decision.under:
        made = renewed(decision.under, spec, moment)
        return ToBeMade(f"the root {rotation.name(made.root)}") if check_mode else made
    made = generated(spec, moment, decision.other_than, keep=not check_mode)
    if not check_mode:
        return made
    if prepared_root(spec):
        return ToBeMade(f"the root {rotation.name(made.root)} that {spec.root_dir} holds")
    return ToBeMade(f"a new root ({spec.key_type}, {spec.root_days} days)")


def _steps(present: Present, held: Bundle, target: Bundle) -> list[rotation.Step]:
    return rotation.all_steps(held, target, watched=present.watched, lost=present.lost, multi_root=present.multi_root)


def _planned(steps: list[rotation.Step]) -> list[dict[str, str]]:
    return [{"phase": step.phase, "words": step.words} for step in steps]


def _prepare(mesh: Mesh, present: Present, target: Bundle | None, options: Options, *, check_mode: bool) -> list[str]:
    """What is restarted so that the mesh can follow; nothing where no root changes, since nobody is cut off then.

    :param target: None where it is a root that isn't made yet
    """
    if target is not None and rotation.same_roots(present.bundle, target):
        mesh.refuse_managed_secret(accept=options.accept_managed_secret)
        return []
    return mesh.prepare(options, check_mode=check_mode)


def _same(present: Present, target: Bundle) -> bool:
    """Whether the mesh works with the target already, and nothing of a rotation is left over."""
    if present.bundle is None or not present.plugged or present.following or present.pending:
        return False
    return rotation.next_step(present.bundle, target) is None


def _spec(mesh: Mesh, options: Options) -> CaSpec:
    signed, aliases = mesh.trust_domains(options.mesh_config)
    return CaSpec(
        trust_domains=options.trust_domains or (*signed, *aliases) or ("cluster.local",),
        root_days=options.root_days,
        intermediate_days=options.intermediate_days,
        key_type=options.key_type,
        root_dir=options.root_dir,
        root_key=options.root_key,
        min_days=options.min_days,
        signed_domains=tuple(signed),
        accept_git=options.accept_git_root_dir,
    )


def _first(mesh: Mesh, target: Bundle, options: Options, *, check_mode: bool) -> Result:
    """A CA before there is a control plane: one write."""
    if not check_mode:
        mesh.write_first(target)
    words = f"sign with {rotation.name(target.signer)}, trust {rotation.names(target.trusted)}"
    phases = [{"phase": "install", "words": words}]
    return {"changed": True, "phases": phases, "diff": _diff(None, target, phases), **_guessed(mesh, options)}


def _guessed(mesh: Mesh, options: Options) -> dict[str, list[str]]:
    """A warning where an intermediate is bound to a trust domain that nothing has named."""
    signed, _aliases = mesh.trust_domains(options.mesh_config)
    if signed or options.trust_domains or options.files:
        return {}
    return {
        "warnings": [
            "the new intermediate may sign for the trust domain cluster.local alone: where meshConfig.trustDomain will"
            " be another, delete the secret cacerts and run this again with ca_trust_domains"
        ]
    }


def _would_make(mesh: Mesh, present: Present, options: Options, made: ToBeMade) -> Result:
    """What check mode reports of a CA that isn't made yet."""
    after = f"signer: {made.signer}\ntrusted root: {made.root}\n"
    if not (present.bundle and present.control_planes):
        phases = [{"phase": "install", "words": f"sign with {made.signer}"}]
        diff = _diff(present.bundle, after, phases)
        return {"changed": True, "phases": phases, "restarted": [], "diff": diff, **_guessed(mesh, options)}
    renewal = options.action == "renew"
    restarted = _prepare(mesh, present, present.bundle if renewal else None, options, check_mode=True)
    words = f"sign with {made.signer} instead of {rotation.name(present.bundle.signer)}"
    phases = [{"phase": "sign", "words": words}]
    if not renewal:
        old = rotation.names(present.bundle.trusted)
        phases.insert(0, {"phase": "trust", "words": f"trust {made.root} beside {old}"})
        phases.append({"phase": "drop", "words": f"trust {made.root} alone; {old} is gone"})
    if not present.watched:
        adopt = rotation.all_steps(present.bundle, present.bundle, watched=False, lost=True)
        phases.insert(0, {"phase": "adopt", "words": adopt[0].words})
    diff = _diff(present.bundle, after, phases, restarted)
    return {"changed": True, "phases": phases, "restarted": restarted, "diff": diff}


# -- back -----------------------------------------------------------------


def _abort(mesh: Mesh, present: Present, options: Options, *, check_mode: bool) -> Result:
    if not mesh.rotating(present):
        return {"changed": False, "phases": [], "diff": _diff(present.bundle, present.bundle)}
    if present.bundle is None:
        raise CannotRotate(
            "the secret cacerts was deleted in the middle of a rotation, and no istiod runs: put back what it held"
            " (cacerts-previous has what it held before the rotation), or go on to the new CA with the entry point"
            " install",
            Reason.ABORT_IMPOSSIBLE,
        )
    if present.previous is None:
        raise CannotRotate(
            f"Secret {mesh.namespace}/cacerts-previous: the rotation can't be taken back (NotFound): a rotation is"
            " under way, and the CA that it came from is gone. Finish it with the entry point rotate, or restore"
            " cacerts-previous from a backup and run this again.",
            Reason.ABORT_IMPOSSIBLE,
        )
    if present.pending:
        raise CannotRotate(
            "istiod hasn't taken the CA in cacerts, so there is nothing to take back from the mesh: run without"
            " ca_rotation_abort to go on",
            Reason.ABORT_IMPOSSIBLE,
        )
    mesh.refuse_immutable()
    steps = _steps(present, present.bundle, present.previous)
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
