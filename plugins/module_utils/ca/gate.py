# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the whole mesh meets a phase, and what blocks it. Pure: it judges what others have read."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import typing as t

from ..errors import MeshopsError
from ..mesh.certificates import short
from ..proxies.proxy import Proxy
from .rotation import Expectation


class Reason(enum.Enum):
    """Why a change of the CA is refused, for programs; the sentence beside it is for people."""

    ABORT_IMPOSSIBLE = "abort_impossible"
    ANOTHER_RUN = "another_run"
    CHANGED_MEANWHILE = "changed_meanwhile"
    EXTERNAL_CA = "external_ca"
    INCOMPLETE_SECRET = "incomplete_secret"
    GIVEN_WAY = "given_way"
    IMMUTABLE_SECRET = "immutable_secret"
    MANAGED_SECRET = "managed_secret"
    NOT_MULTI_ROOT = "not_multi_root"
    NO_CONTROL_PLANE = "no_control_plane"
    NO_ROOT_RELOAD = "no_root_reload"
    OTHER_CA_IN_USE = "other_ca_in_use"
    REVOCATION_LIST = "revocation_list"
    ROTATION_UNDER_WAY = "rotation_under_way"
    SELF_SIGNED = "self_signed"
    SHARED_ROOT = "shared_root"
    UNKNOWN_CA = "unknown_ca"
    UNPROVEN_PROXIES = "unproven_proxies"
    UNREADABLE_SECRET = "unreadable_secret"
    WRONG_ACTION = "wrong_action"
    ZTUNNEL = "ztunnel"


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """One reason to refuse a change of the CA, with its remedy."""

    reason: Reason
    message: str


class CannotRotate(MeshopsError):
    """The state of the cluster that forbids a rotation, with the remedy.

    :ivar reasons: the codes of every obstacle
    """

    def __init__(self, message: str, *obstacles: Obstacle | Reason) -> None:
        found = [each if isinstance(each, Obstacle) else Obstacle(each, message) for each in obstacles]
        listed = [{"reason": each.reason.value, "message": each.message} for each in found]
        super().__init__(message, {"reasons": listed} if listed else None)
        self.reasons = tuple(each.reason for each in found)


def refuse(start: str, obstacles: t.Sequence[Obstacle]) -> None:
    """Fails where there are obstacles.

    :raises CannotRotate: names every obstacle
    """
    if obstacles:
        raise CannotRotate(f"{start}: " + "; ".join(each.message for each in obstacles), *obstacles)


@dataclasses.dataclass(frozen=True)
class Istiod:
    """A pod of the control plane.

    :ivar multi_root: ISTIO_MULTIROOT_MESH is set on it
    :ivar root_expiry: citadel_server_root_cert_expiry_timestamp, None where unread
    :ivar chain_expiry: citadel_server_cert_chain_expiry_timestamp
    :ivar trouble: why it isn't ready, as kubelet or the scheduler reports it; empty where neither does
    """

    namespace: str
    pod: str
    uid: str = ""
    revision: str = "default"
    owner: str = ""
    ready: bool = True
    terminating: bool = False
    multi_root: bool = True
    started: datetime.datetime | None = None
    root_expiry: int | None = None
    chain_expiry: int | None = None
    error: str = ""
    trouble: str = ""

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.pod}"

    @property
    def expiries(self) -> tuple[int | None, int | None]:
        return self.root_expiry, self.chain_expiry


class Why(enum.Enum):
    """Why something blocks a gate, for programs."""

    CA_BUNDLE_DIFFERS = "ca_bundle_differs"
    CONFIG_MAP_DIFFERS = "config_map_differs"
    CONFIG_MAP_MISSING = "config_map_missing"
    ISTIOD_NOT_READY = "istiod_not_ready"
    ISTIOD_TERMINATING = "istiod_terminating"
    ISTIOD_UNREADABLE = "istiod_unreadable"
    SECRET_NOT_LOADED = "secret_not_loaded"
    MOUNTED_FILE_DIFFERS = "mounted_file_differs"
    MOUNTED_FILE_UNREADABLE = "mounted_file_unreadable"
    NO_CERTIFICATE = "no_certificate"
    PROXY_UNREADABLE = "proxy_unreadable"
    ROOT_MISSING = "root_missing"
    ROOT_STILL_TRUSTED = "root_still_trusted"
    WRONG_ISSUER = "wrong_issuer"


@dataclasses.dataclass(frozen=True)
class Blocker:
    """Something that blocks a gate.

    :ivar what: such as C(proxy app/web-1)
    :ivar why: what it lacks, in words
    :ivar reason: the same for programs
    """

    what: str
    why: str
    reason: Why

    def report(self) -> dict[str, str]:
        """As the module returns it."""
        return {"what": self.what, "why": self.why, "reason": self.reason.value}

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def config_map_blockers(
    expected: Expectation, namespaces: t.Iterable[str], config_maps: t.Mapping[str, frozenset[str]]
) -> list[Blocker]:
    """What blocks the gate among the ConfigMaps from which pods mount the roots.

    :param namespaces: every namespace that istiod serves
    :param config_maps: namespace -> fingerprints in its ConfigMap
    """
    found = []
    for namespace in sorted(namespaces):
        what = f"ConfigMap in namespace {namespace}"
        if namespace not in config_maps:
            found.append(Blocker(what, "istiod hasn't written it yet", Why.CONFIG_MAP_MISSING))
        elif config_maps[namespace] != expected.roots:
            found.append(Blocker(what, _difference(config_maps[namespace], expected.roots), Why.CONFIG_MAP_DIFFERS))
    return found


def webhook_blockers(expected: Expectation, ca_bundles: t.Mapping[str, frozenset[str]]) -> list[Blocker]:
    """What blocks the gate among the webhooks by which the API server calls istiod.

    :param ca_bundles: name of a webhook -> fingerprints in its caBundle
    """
    return [
        Blocker(f"caBundle of {name}", _difference(held, expected.roots), Why.CA_BUNDLE_DIFFERS)
        for name, held in sorted(ca_bundles.items())
        if held != expected.roots
    ]


def istiod_blockers(expected: Expectation, istiods: t.Iterable[Istiod]) -> list[Blocker]:
    """Which istiod hasn't loaded the secret, or is starting or ending (two generations overwrite each other)."""
    reasons = ((istiod, _istiod_reason(expected, istiod)) for istiod in istiods)
    return [Blocker(f"istiod {istiod.name}", found[1], found[0]) for istiod, found in reasons if found]


def _istiod_reason(expected: Expectation, istiod: Istiod) -> tuple[Why, str] | None:
    if istiod.terminating:
        return Why.ISTIOD_TERMINATING, "is shutting down; two generations of istiod at once overwrite each other"
    if not istiod.ready:
        return Why.ISTIOD_NOT_READY, "isn't ready" + (f": {istiod.trouble}" if istiod.trouble else "")
    if istiod.error:
        return Why.ISTIOD_UNREADABLE, istiod.error
    if expected.root_expiry is not None and istiod.expiries != (expected.root_expiry, expected.chain_expiry):
        return (
            Why.SECRET_NOT_LOADED,
            "hasn't loaded the secret cacerts: it reports other dates of expiry; its log tells why"
            " ('Updating new ROOT-CA not supported' means it needs ISTIO_MULTIROOT_MESH or a restart)",
        )
    return None


def proxy_blocker(expected: Expectation, proxy: Proxy) -> Blocker | None:
    """Why a proxy blocks the gate, or None."""
    found = _proxy_reason(expected, proxy) if proxy.running else None
    if found is None:
        return None
    reason, why = found
    if not proxy.push:
        why += "; it does not take new roots while it runs (PROXY_CONFIG_XDS_AGENT isn't set): restart it"
    elif not proxy.ready:
        why += "; the pod isn't ready"
    return Blocker(f"{proxy.kind} {proxy.name}", why, reason)


def _proxy_reason(expected: Expectation, proxy: Proxy) -> tuple[Why, str] | None:
    if proxy.kind == "ztunnel" and expected.same_root:
        return None  # it isn't read, and nothing that it holds becomes wrong
    if proxy.error:
        return Why.PROXY_UNREADABLE, f"can't be read: {proxy.error}"
    if proxy.roots is None or not proxy.chain:
        return Why.NO_CERTIFICATE, "holds no certificate yet"
    missing, left = expected.roots - proxy.roots, expected.gone & proxy.roots
    if missing:
        return Why.ROOT_MISSING, f"does not trust {_several(missing)} yet"
    if left:
        return Why.ROOT_STILL_TRUSTED, f"still trusts {_several(left)}"
    if proxy.mounted is None:
        return Why.MOUNTED_FILE_UNREADABLE, "its mounted root-cert.pem can't be read"
    if proxy.mounted != expected.roots:
        different = _difference(proxy.mounted, expected.roots)
        return Why.MOUNTED_FILE_DIFFERS, f"its mounted root-cert.pem: {different}"
    return _issuer_reason(expected, proxy)


def _issuer_reason(expected: Expectation, proxy: Proxy) -> tuple[Why, str] | None:
    if expected.signer is None or proxy.chain[0].issued_by(expected.signer):
        return None
    if expected.same_root and not proxy.push:
        return None  # its old leaf stays good until it expires
    return Why.WRONG_ISSUER, f"its leaf is still issued by {proxy.chain[0].issuer}"


def _difference(held: frozenset[str], wanted: frozenset[str]) -> str:
    parts = []
    if wanted - held:
        parts.append(f"lacks {_several(wanted - held)}")
    if held - wanted:
        parts.append(f"still holds {_several(held - wanted)}")
    return ", ".join(parts)


def _several(fingerprints: t.Iterable[str]) -> str:
    return ", ".join(sorted(short(fingerprint) for fingerprint in fingerprints))


# -- before anything is written --------------------------------------------


def unprepared(
    istiods: t.Sequence[Istiod], proxies: t.Sequence[Proxy], push: t.Mapping[str, bool]
) -> tuple[list[Obstacle], list[Proxy]]:
    """What prevents a rotation of the root, in advance.

    :param push: revision -> proxyMetadata.PROXY_CONFIG_XDS_AGENT is set in its mesh config
    :returns: reasons to refuse, each with its remedy; proxies to restart so that they take new roots
    """
    obstacles = [
        Obstacle(
            Reason.NOT_MULTI_ROOT,
            f"istiod {istiod.name} runs without ISTIO_MULTIROOT_MESH=true, so it refuses a second root:"
            ' set control_plane_values.istiod.env.ISTIO_MULTIROOT_MESH to "true" and install the control plane again',
        )
        for istiod in istiods
        if not istiod.multi_root
    ]
    without_reload = [proxy for proxy in proxies if not proxy.push and proxy.running]
    for revision in sorted(push):
        # of a revision whose istiod is gone, any other may take care
        mine = [proxy for proxy in without_reload if proxy.revision == revision or proxy.revision not in push]
        if mine and not push[revision]:
            obstacles.append(
                Obstacle(
                    Reason.NO_ROOT_RELOAD,
                    f"{len(mine)} proxies do not take new roots while they run ({listed(mine)}), and new ones of the"
                    f" revision {revision} would not either:"
                    ' set control_plane_mesh_config.defaultConfig.proxyMetadata.PROXY_CONFIG_XDS_AGENT to "true",'
                    " install the control plane again, then run this with ca_restart_proxies: true",
                )
            )
    return obstacles, without_reload


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """What shows that other control planes or clusters may trust the same root.

    :ivar remote_secrets: the Secrets (namespace/name) by which istiod reads other clusters
    :ivar networks: the networks beside the mesh's own, of meshNetworks and of east-west gateways
    :ivar gateways: the east-west gateways' Services (namespace/name)
    :ivar control_planes: namespace of another istiod -> fingerprints of the roots that it gives out; None where unread
    """

    remote_secrets: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    control_planes: t.Mapping[str, frozenset[str] | None] = dataclasses.field(default_factory=dict)


def shared_root(neighbours: Neighbours, roots: frozenset[str]) -> list[Obstacle]:
    """Why a rotation of the root could cut off others that this run doesn't see.

    :param roots: fingerprints that the mesh trusts now
    """
    found = []
    if neighbours.remote_secrets:
        found.append(f"istiod reads other clusters (Secrets {_few(neighbours.remote_secrets)})")
    if neighbours.networks:
        found.append(f"the mesh has several networks ({_few(neighbours.networks)})")
    if neighbours.gateways:
        found.append(f"east-west gateways run (Services {_few(neighbours.gateways)})")
    for namespace, held in sorted(neighbours.control_planes.items()):
        if held is None:
            found.append(f"another istiod runs in the namespace {namespace}, and the roots that it uses can't be read")
        elif held & roots:
            found.append(f"the istiod in the namespace {namespace} trusts the same root {_several(held & roots)}")
    if not found:
        return []
    message = (
        f"the root may be shared with other control planes or clusters: {'; '.join(found)}. From phase sign on, their"
        " proxies would refuse those of this mesh. Rotate them together, phase by phase, as docs/ca.md describes, with"
        " accept_shared_root: true (ca_accept_shared_root)"
    )
    return [Obstacle(Reason.SHARED_ROOT, message)]


def _few(names: t.Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def listed(proxies: t.Sequence[Proxy], most: int = 10) -> str:
    """Their names, the first few where there are many."""
    return _few([proxy.name for proxy in proxies], most)
