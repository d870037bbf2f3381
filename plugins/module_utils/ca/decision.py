# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The CA that a run brings the mesh to: a pure decision from the action, the present CA and the user's own one."""

from __future__ import annotations

import dataclasses
import typing as t

from ..mesh.certificates import Certificate, fingerprints
from .gate import Obstacle, Reason
from .present import Present
from .rotation import name, names, same_roots
from .trust_bundle import Bundle

Action = t.Literal["install", "rotate", "renew", "abort", "status"]


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a run, apart from the new CA's own properties.

    :ivar files: the user's own CA (ca_cert, ca_key, root_cert, cert_chain); empty where one is generated
    :ivar trust_domains: those of a new intermediate; empty for those of the mesh config
    :ivar mesh_config: the mesh config that the control plane will have; None where that isn't known
    :ivar restart_proxies: workloads without root reload may be restarted
    :ivar unproven_proxies: the root may be rotated although some proxies can't be proven
    :ivar accept_shared_root: the same where other clusters or control planes may trust the root
    :ivar accept_managed_secret: cacerts may be written although another tool has written it
    :ivar accept_git_root_dir: a new root's key may be written inside a git work tree
    """

    action: Action
    namespace: str = "istio-system"
    timeout: float = 300
    files: t.Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    key_type: str = "EC-P256"
    root_days: int = 3650
    intermediate_days: int = 730
    root_dir: str = ""
    root_key: str = dataclasses.field(default="", repr=False)
    trust_domains: tuple[str, ...] = ()
    mesh_config: t.Mapping[str, t.Any] | None = None
    min_days: int = 30
    warn_days: int = 60
    restart_proxies: bool = False
    unproven_proxies: bool = False
    accept_shared_root: bool = False
    accept_managed_secret: bool = False
    accept_git_root_dir: bool = False
    report: str = ""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Options:
        """The options in a module's parameters; those that aren't there keep their defaults."""
        names_ = [field.name for field in dataclasses.fields(cls)]
        given = {key: params[key] for key in names_ if params.get(key) is not None}
        given["trust_domains"] = tuple(params.get("trust_domains") or ())
        given["files"] = (params.get("files") or {}) if params.get("source") == "files" else {}
        return cls(**given)


@dataclasses.dataclass(frozen=True)
class Keep:
    """The mesh may stay as it is."""


@dataclasses.dataclass(frozen=True)
class Use:
    """Use a CA that exists: the user's own, or the target of a rotation that is under way."""

    bundle: Bundle


@dataclasses.dataclass(frozen=True)
class Refuse:
    """Nothing is written."""

    obstacle: Obstacle


@dataclasses.dataclass(frozen=True)
class Generate:
    """Make a new CA.

    :ivar under: the CA whose root a new intermediate comes under; None for a new root
    :ivar other_than: the root in use, which the new one must not be
    """

    under: Bundle | None = None
    other_than: Certificate | None = None


Decision = t.Union[Keep, Use, Refuse, Generate]  # noqa: UP007  (evaluated at import, which pylint knows of classes only so)


def decide(action: Action, present: Present, brought: Bundle | None, namespace: str = "istio-system") -> Decision:
    """The first of these that applies: the target of a rotation under way, a refusal, what the action requires.

    :param brought: the user's own CA, known to be usable
    """
    if under_way := present.following or present.pending:
        return _go_on(action, present, under_way, brought)
    if action == "install" and present.plugged and present.bundle:
        return _keep(present.bundle, brought)
    if present.bundle is None and present.control_planes:
        return _refuse(
            Reason.EXTERNAL_CA,
            f"istiod runs in the namespace {namespace}, but neither cacerts nor istio-ca-secret holds its CA:"
            " it uses an external one (EXTERNAL_CA, istio-csr), which is renewed where it comes from",
        )
    if action in ("rotate", "renew") and not present.control_planes:
        return _refuse(
            Reason.NO_CONTROL_PLANE,
            f"no istiod runs in the namespace {namespace}: name the right one in ca_namespace,"
            " or use the entry point install before the control plane",
        )
    if action == "renew" and present.bundle:
        return _renew(present, present.bundle, brought)
    return _replace(action, present, brought)


def _refuse(reason: Reason, message: str) -> Refuse:
    return Refuse(Obstacle(reason, message))


def _go_on(action: Action, present: Present, under_way: Bundle, brought: Bundle | None) -> Decision:
    if brought and brought.signer != under_way.signer:
        return _refuse(
            Reason.ROTATION_UNDER_WAY,
            f"a rotation to {name(under_way.signer)} is under way, and files hold {name(brought.signer)}: finish it"
            " first (run without files), or take it back with ca_rotation_abort: true",
        )
    if action == "renew" and not same_roots(present.bundle, under_way):
        return _refuse(
            Reason.ROTATION_UNDER_WAY,
            f"a rotation to the root {name(under_way.root)} is under way: finish it with the entry point rotate, or"
            " take it back with ca_rotation_abort: true, and renew then",
        )
    return Use(under_way)


def _keep(bundle: Bundle, brought: Bundle | None) -> Decision:
    if brought and brought.signer != bundle.signer:
        how = "renew" if brought.root in bundle.trusted else "rotate"
        return _refuse(
            Reason.OTHER_CA_IN_USE,
            f"the mesh works with the CA {name(bundle.signer)} already; use the entry point {how} to go on to"
            f" {name(brought.signer)}",
        )
    return Keep()


def _renew(present: Present, bundle: Bundle, brought: Bundle | None) -> Decision:
    if not present.plugged:
        return _refuse(
            Reason.SELF_SIGNED, "istiod signs with a root that it has made for itself: use the entry point rotate"
        )
    if brought is None:
        return Generate(under=bundle)
    if brought.root not in bundle.trusted:
        return _refuse(
            Reason.WRONG_ACTION, f"files lead to another root, {name(brought.root)}: use the entry point rotate"
        )
    if brought.signer == bundle.signer:
        return Keep()
    if not same_roots(bundle, brought):
        return _refuse(
            Reason.WRONG_ACTION,
            f"files trust {names(brought.trusted)}, and the mesh {names(bundle.trusted)}: a renewal changes no root,"
            " use the entry point rotate",
        )
    return Use(brought)


def _replace(action: Action, present: Present, brought: Bundle | None) -> Decision:
    if brought is None:
        return Generate(other_than=present.bundle.root if present.bundle else None)
    if action == "rotate" and present.bundle and fingerprints(brought.roots) == fingerprints(present.bundle.roots):
        if brought.signer == present.bundle.signer:
            return Keep()
        if brought.root != present.bundle.root:  # both are trusted already: the middle of a rotation by hand
            return Use(brought)
        return _refuse(
            Reason.WRONG_ACTION, "files lead to the root in use: use the entry point renew for a new intermediate"
        )
    return Use(brought)
