# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Installs, renews and rotates a mesh's CA, and takes a rotation back: step, proof in the mesh, next step.

Everything that a run needs is stored in the cluster, so any run, from any machine, continues where another ended:
cacerts holds what istiod signs with, cacerts-next the target of a rotation, cacerts-previous where it came from.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import time
import typing as t

from ..cluster.client import Cluster
from ..cluster.errors import ApiError
from ..cluster.kinds import NAMESPACE, POD, SECRET
from ..cluster.workloads import WORKLOADS, restart
from ..mesh.certificates import fingerprints, short
from ..mesh.pods import describe_proxy, time_of
from ..proxies.proxy import Proxy
from ..proxies.read import proxy_pods_of
from ..proxies.sync import sync_states
from . import gate, observe, rotation
from .decision import Options
from .gate import CannotRotate, Obstacle, Reason, refuse
from .istiod_restart import finish_restart, restart_istiods
from .present import (
    CACERTS,
    GENERATED,
    NEXT,
    ORIGIN,
    PREVIOUS,
    RECORD,
    SELF_SIGNED,
    HeldSecret,
    Present,
    annotations_of,
    cacerts_obstacles,
    present_ca,
    record_of,
)
from .proof import Proof
from .trust_bundle import ISTIOD_KEYS, Bundle, secret_data


class Mesh:
    """A mesh's CA in a cluster.

    :param namespace: where istiod runs; every revision there shares one CA
    :param timeout: seconds that one gate, or one restart, may take
    :param check_lock: fails where this run must not write any more
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str = "istio-system",
        timeout: float = 300,
        check_lock: t.Callable[[], None] = lambda: None,
    ) -> None:
        self.cluster, self.namespace, self.timeout = cluster, namespace, timeout
        self.phases: list[dict[str, t.Any]] = []
        self._check_lock = check_lock
        self._proof = Proof(cluster, namespace, timeout, self.phases, check_lock)

    # -- what is there --------------------------------------------------------

    def secrets(self) -> dict[str, HeldSecret]:
        """The secrets that make the CA, by name; keys stay within this process."""
        found = {}
        for name in (CACERTS, SELF_SIGNED, NEXT, PREVIOUS):
            secret = self.cluster.get(SECRET, name, self.namespace)
            created = time_of(secret["metadata"]["creationTimestamp"]) if secret else None
            if secret is not None and created is not None:
                found[name] = HeldSecret(
                    data=observe.secret_text(secret),
                    raw=secret.get("data") or {},
                    created=created,
                    version=secret["metadata"]["resourceVersion"],
                    meta=secret["metadata"],
                    immutable=bool(secret.get("immutable")),
                )
        return found

    def present(self) -> Present:
        """The CA that the mesh works with."""
        pods = observe.istiod_pods(self.cluster, self.namespace)
        maps = observe.root_config_maps(self.cluster, observe.bundle_config_map_name(pods)) if pods else {}
        return present_ca(
            self.secrets(),
            observe.served_roots(maps, self.namespace),
            observe.istiods(self.cluster, self.namespace, expiries=False),
        )

    def trust_domains(self, planned: t.Mapping[str, t.Any] | None = None) -> tuple[list[str], list[str]]:
        """The trust domains for which istiod signs, one a revision, and the aliases of them all.

        :param planned: the mesh config that the control plane will have, which counts where there is none yet
        :returns: both are empty where nothing tells them
        """
        istiods = observe.istiods(self.cluster, self.namespace, expiries=False)
        configs: list[t.Mapping[str, t.Any]] = list(
            observe.mesh_configs(self.cluster, self.namespace, istiods).values()
        )
        if not configs:
            there = observe.mesh_config(self.cluster, self.namespace)
            configs = [there] if there else [planned] if planned is not None else []
        signed = dict.fromkeys(config.get("trustDomain") or "cluster.local" for config in configs)
        aliases = dict.fromkeys(alias for config in configs for alias in config.get("trustDomainAliases") or [])
        return list(signed), [alias for alias in aliases if alias not in signed]

    def refuse_managed_secret(self, *, accept: bool = False) -> None:
        """Fails where the secret cacerts is to be left alone.

        :param accept: another tool that has written it no longer does
        :raises CannotRotate: each reason with its remedy
        """
        obstacles = cacerts_obstacles(self.secrets().get(CACERTS), accept_managed=accept)
        refuse(f"nothing was written in the namespace {self.namespace}", obstacles)

    def refuse_immutable(self) -> None:
        """Fails where nothing can be written to the secret cacerts.

        :raises CannotRotate: it is immutable
        """
        obstacles = cacerts_obstacles(self.secrets().get(CACERTS), accept_managed=True)
        found = [each for each in obstacles if each.reason is Reason.IMMUTABLE_SECRET]
        refuse(f"nothing was written in the namespace {self.namespace}", found)

    def rotating(self, present: Present) -> bool:
        """Whether a rotation is under way, by its secrets or, where these are gone, by its record.

        :raises CannotRotate: it is, and somebody has removed both ends of it
        """
        if present.following is not None:
            return True
        phase = record_of(annotations_of(self.secrets(), CACERTS)).get("phase", "done")
        if phase in ("done", "aborted", ""):
            return False
        raise CannotRotate(
            f"Secret {self.namespace}/{NEXT}: the rotation can't be taken back (NotFound): a rotation is in phase"
            f" {phase}, and its origin and its target are gone. Restore {NEXT} and {PREVIOUS} from a backup, or run"
            " the entry point rotate to go on to another root.",
            Reason.ABORT_IMPOSSIBLE,
        )

    def unseen_proxies(self, patience: float = 5) -> list[str]:
        """The proxies that istiod serves and that are no pods of this cluster: virtual machines, remote clusters.

        :param patience: seconds after which what still isn't a pod isn't one that has just gone
        """
        deadline = time.monotonic() + patience
        while True:
            states = sync_states(self.cluster, observe.istiod_pods(self.cluster, self.namespace))
            metas = [pod["metadata"] for pod in self.cluster.list(POD)] if states else []
            unseen = sorted(set(states) - {f"{meta['name']}.{meta['namespace']}" for meta in metas})
            if not unseen or time.monotonic() > deadline:
                return unseen
            time.sleep(0.5)

    def not_ready(self) -> list[str]:
        """The pods whose proxy belongs to this mesh and that aren't ready, each with what made it."""
        described = [describe_proxy(pod) for pod in proxy_pods_of(self.cluster, self.namespace)]
        return sorted(
            f"{each['namespace']}/{each['pod']}" + (f" ({each['owner']})" if each["owner"] else "")
            for each in described
            if not each["ready"]
        )

    def resume(self) -> None:
        """Continues a restart of istiod that was killed half-way, and clears what a run left that was killed
        before its first step or after its last.
        """
        finish_restart(self.cluster, self.namespace, self.timeout)
        secrets = self.secrets()
        if PREVIOUS in secrets and NEXT not in secrets:
            self.cluster.delete(SECRET, PREVIOUS, self.namespace)

    # -- before anything is written -------------------------------------------

    def prepare(self, options: Options, *, check_mode: bool) -> list[str]:
        """Sees to it that istiod and every proxy can follow a rotation of the root.

        :param check_mode: only report what would be restarted
        :returns: the workloads that were, or would be, restarted
        :raises CannotRotate: they can't follow; each reason with its remedy
        """
        istiods = observe.istiods(self.cluster, self.namespace, expiries=False)
        if not istiods:
            return []
        push = {}
        for revision, config in observe.mesh_configs(self.cluster, self.namespace, istiods).items():
            metadata = (config.get("defaultConfig") or {}).get("proxyMetadata") or {}
            push[revision] = str(metadata.get("PROXY_CONFIG_XDS_AGENT", "")).lower() == "true"
        described = self._described()
        ztunnels = [proxy for proxy in described if proxy.kind == "ztunnel"]
        others = [proxy for proxy in described if proxy.kind != "ztunnel"]
        obstacles, without_reload = gate.unprepared(istiods, others, push)
        held = self.secrets().get(CACERTS)
        obstacles += cacerts_obstacles(held, accept_managed=options.accept_managed_secret)
        if not options.accept_shared_root:
            maps = observe.root_config_maps(
                self.cluster, observe.bundle_config_map_name(observe.istiod_pods(self.cluster, self.namespace))
            )
            neighbours = observe.neighbours(self.cluster, self.namespace, istiods)
            obstacles += gate.shared_root(neighbours, observe.served_roots(maps, self.namespace))
        obstacles += _ztunnel_obstacles(ztunnels)
        obstacles += _unseen_obstacles([] if options.unproven_proxies else self.unseen_proxies())
        if all(push.values()):
            obstacles += _reload_obstacles(without_reload, restart_proxies=options.restart_proxies)
        refuse("the mesh can't follow a rotation", obstacles)
        owners = ((proxy.namespace, *proxy.owner.partition("/")[::2]) for proxy in without_reload)
        workloads = sorted(set(owners))
        if workloads and not check_mode:
            self._restart_proxies(workloads)
        return [f"{kind} {namespace}/{name}" for namespace, kind, name in workloads]

    def _described(self) -> list[Proxy]:
        """What the pods themselves say of the proxies in this mesh."""
        pods = proxy_pods_of(self.cluster, self.namespace)
        return [Proxy(**describe_proxy(pod)) for pod in pods]

    def _restart_proxies(self, workloads: t.Sequence[tuple[str, str, str]]) -> None:
        for namespace, kind, name in workloads:
            meta = {"namespace": namespace, "name": name}
            restart(self.cluster, {"apiVersion": "apps/v1", "kind": kind, "metadata": meta}, self.timeout)
        without_reload = [proxy for proxy in self._described() if not proxy.push and proxy.running]
        if without_reload:
            raise CannotRotate(
                f"{gate.listed(without_reload)} take no new roots even after a restart: look for an annotation"
                " proxy.istio.io/config, or a ProxyConfig, that sets PROXY_CONFIG_XDS_AGENT otherwise",
                Reason.NO_ROOT_RELOAD,
            )

    # -- the walk -------------------------------------------------------------

    def walk(self, present: Present, target: Bundle, *, back: bool = False) -> None:
        """Brings the mesh from the present CA to the target, proving each phase in the mesh before the next.

        :param back: the target is where a rotation came from
        :raises GateNotMet: the mesh doesn't follow; the next run continues from here
        """
        if present.bundle is None:
            raise CannotRotate("no CA is in use, so there is none to go on from", Reason.NO_CONTROL_PLANE)
        held, watched, lost = present.bundle, present.watched, present.lost
        other = present.following if back else (present.previous or present.bundle)
        phase = record_of(annotations_of(self.secrets(), CACERTS)).get("phase") if present.following else ""
        while True:
            expected = rotation.expectation(held, target, other)
            if not watched:  # such an istiod reports no chain, and serves its own bundle until it is restarted
                expected = dataclasses.replace(expected, root_expiry=None, chain_expiry=None)
            if lost or not present.multi_root:  # either CA has signed; or nothing makes proxies fetch a new leaf
                expected = dataclasses.replace(expected, signer=None)
            self._proof.prove(expected, phase or "")
            step = rotation.next_step(held, target, watched=watched, lost=lost, multi_root=present.multi_root)
            if step is None:
                break
            if not back:
                self._keep(present, target)
            begun = time.monotonic()
            self._check_lock()
            self._write(step, target, back=back)
            if step.restart_istiod:
                restart_istiods(self.cluster, self.namespace, self.timeout)
            held, watched, lost, phase = step.bundle, True, False, step.phase
            spent = round(time.monotonic() - begun, 1)
            self.phases.append({"phase": phase, "words": step.words, "write_seconds": spent})
        self._check_lock()
        self._finish(present, target, back=back)

    def _keep(self, present: Present, target: Bundle) -> None:
        """Writes the rotation's target and its origin into the cluster, before the first step."""
        secrets = self.secrets()
        if NEXT in secrets or present.bundle is None:
            return
        origin, data = "plugged-in" if present.plugged else "self-signed", secret_data(present.bundle)
        cacerts = secrets.get(CACERTS)
        if cacerts and GENERATED in cacerts.data:  # the only copy of istiod's own CA: it goes back as it is
            origin, data = "istio-generated", {key: cacerts.data[key] for key in cacerts.data if key in ISTIOD_KEYS}
        self._create(PREVIOUS, {**_foreign_keys(cacerts), **_encoded(data)}, {ORIGIN: origin})
        self._create(NEXT, _encoded(secret_data(target)), {})

    def _create(self, name: str, data: dict[str, str], annotations: dict[str, t.Any]) -> None:
        """:param data: in Base64"""
        self.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace, "annotations": annotations},
                "type": "Opaque",
                "data": data,
            }
        )

    def _write(self, step: rotation.Step, target: Bundle, *, back: bool) -> None:
        """Puts a bundle into cacerts, all of it at once, and makes kubelet bring it to istiod now."""
        secrets = self.secrets()
        held = secrets.get(CACERTS)
        record = record_of(annotations_of(secrets, CACERTS))
        moment = observe.now().isoformat(timespec="milliseconds")
        record.update(
            phase=step.phase,
            direction="back" if back else "on",
            signer=step.bundle.signer.fingerprint,
            roots=[root.fingerprint for root in step.bundle.trusted],
            target={"signer": target.signer.fingerprint, "roots": [root.fingerprint for root in target.trusted]},
        )
        record["history"] = [*record.get("history", []), {"phase": step.phase, "at": moment}][-20:]
        if step.restart_istiod:
            record["not_watching"] = [
                pod["metadata"]["uid"] for pod in observe.istiod_pods(self.cluster, self.namespace)
            ]
        self.write_cacerts(step.bundle, record, held)
        self._proof.begin()

    def write_cacerts(self, bundle: Bundle, record: dict[str, t.Any], held: HeldSecret | None) -> None:
        """Creates or replaces the secret that istiod signs with; refused where someone else wrote it meanwhile."""
        data = secret_data(bundle, held.data if held else None)
        self._put_cacerts(data, {RECORD: json.dumps(record)}, held)

    def _put_cacerts(self, data: t.Mapping[str, str], annotations: dict[str, t.Any], held: HeldSecret | None) -> None:
        """Writes istiod's keys; further ones, which others need, stay, or come back where the secret was deleted."""
        if held is None:
            self._create(CACERTS, {**_foreign_keys(self.secrets().get(PREVIOUS)), **_encoded(data)}, annotations)
            return
        gone: dict[str, t.Any] = {key: None for key in held.raw if key in ISTIOD_KEYS and key not in data}
        patch = {
            "metadata": {"annotations": annotations, "resourceVersion": held.version},
            "data": {**gone, **_encoded(data)},
        }
        try:
            self.cluster.patch(SECRET, CACERTS, patch, self.namespace)
        except ApiError as error:
            if error.status != 409:
                raise
            raise CannotRotate(
                f"Secret {self.namespace}/{CACERTS}: another client has just written it (Conflict). See to it that one"
                " rotation runs at a time, and run this again.",
                Reason.CHANGED_MEANWHILE,
            ) from error

    def write_first(self, bundle: Bundle) -> None:
        """Puts a CA into a cluster where no istiod runs yet."""
        if self.cluster.get(NAMESPACE, self.namespace) is None:
            self.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        moment = observe.now().isoformat(timespec="milliseconds")
        record: dict[str, t.Any] = {"phase": "done", "signer": bundle.signer.fingerprint}
        record["history"] = [{"phase": "install", "at": moment}]
        record["roots"] = [root.fingerprint for root in bundle.trusted]
        self.write_cacerts(bundle, record, self.secrets().get(CACERTS))

    def _finish(self, present: Present, target: Bundle, *, back: bool) -> None:
        """Notes the end, and removes the keys that nobody needs any longer."""
        secrets = self.secrets()
        record = record_of(annotations_of(secrets, CACERTS))
        self._proof.unmark()
        if NEXT not in secrets and PREVIOUS not in secrets and record.get("phase") in ("done", "aborted"):
            return
        moment = observe.now().isoformat(timespec="milliseconds")
        record["phase"] = "aborted" if back else "done"
        record["history"] = [*record.get("history", []), {"phase": record["phase"], "at": moment}][-20:]
        record.pop("target", None)
        cacerts, previous = secrets.get(CACERTS), secrets.get(PREVIOUS)
        if back and present.origin == "istio-generated":
            if previous:
                own = {key: text for key, text in previous.data.items() if key in ISTIOD_KEYS}
                self._put_cacerts(own, {RECORD: None}, cacerts)
        elif back and present.origin == "self-signed":
            if cacerts and fingerprints(cacerts.data.get("root-cert.pem", "")) == fingerprints(target.roots):
                self._remove_cacerts(cacerts)
        elif cacerts:
            patch = {"metadata": {"annotations": {RECORD: json.dumps(record)}}}
            self.cluster.patch(SECRET, CACERTS, patch, self.namespace)
        for name in (NEXT, PREVIOUS):
            self.cluster.delete(SECRET, name, self.namespace)

    def _remove_cacerts(self, cacerts: HeldSecret) -> None:
        """Deletes the secret, or where it has keys of others, istiod's keys in it."""
        if _foreign_keys(cacerts):
            self._put_cacerts({}, {RECORD: None}, cacerts)
        else:
            self.cluster.delete(SECRET, CACERTS, self.namespace)


def _foreign_keys(secret: HeldSecret | None) -> dict[str, str]:
    """The keys of a secret, in Base64, that istiod doesn't read."""
    return {key: value for key, value in (secret.raw if secret else {}).items() if key not in ISTIOD_KEYS}


def _encoded(data: t.Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


def _ztunnel_obstacles(ztunnels: t.Sequence[Proxy]) -> list[Obstacle]:
    if not ztunnels:
        return []
    message = (
        f"{len(ztunnels)} ztunnels run ({gate.listed(ztunnels)}): they take new roots at a restart only, and no"
        " gate here reads what they hold, so a rotation of the root could not be proven. Rotate such a mesh by"
        " hand: restart the DaemonSet of ztunnel while both roots are trusted, and see with `istioctl"
        " ztunnel-config certificates` that each has both before the old one is dropped; renew works without that"
    )
    return [Obstacle(Reason.ZTUNNEL, message)]


def _unseen_obstacles(unseen: t.Sequence[str]) -> list[Obstacle]:
    if not unseen:
        return []
    shown = ", ".join(unseen[:10]) + (f" and {len(unseen) - 10} more" if len(unseen) > 10 else "")
    message = (
        f"istiod serves {len(unseen)} proxies that are no pods of this cluster ({shown}), so no gate can look"
        " at them: with ca_unproven_proxies: true the rotation continues without them; see yourself that they follow"
    )
    return [Obstacle(Reason.UNPROVEN_PROXIES, message)]


def _reload_obstacles(without_reload: t.Sequence[Proxy], *, restart_proxies: bool) -> list[Obstacle]:
    """Why proxies without root reload block a rotation in a mesh whose new proxies have it."""
    stuck = [proxy for proxy in without_reload if proxy.owner.partition("/")[0] not in WORKLOADS]
    if stuck:
        message = (
            f"{gate.listed(stuck)} take no new roots while they run, and no workload that could be restarted"
            " made them: delete these pods, or make them again"
        )
    elif without_reload and not restart_proxies:
        message = (
            f"{len(without_reload)} proxies were started without PROXY_CONFIG_XDS_AGENT and take no new roots while"
            f" they run ({gate.listed(without_reload)}): restart these workloads, or let this do it, one at a time,"
            " with ca_restart_proxies: true"
        )
    else:
        return []
    return [Obstacle(Reason.NO_ROOT_RELOAD, message)]


def in_words(bundle: Bundle | None) -> str:
    """A CA for the diff: signer and roots with fingerprints and validity, without keys."""
    if bundle is None:
        return "no CA\n"
    lines = [f"signer: {_line(bundle.signer)}"]
    lines += [f"trusted root: {_line(root)}" for root in bundle.trusted]
    return "\n".join(lines) + "\n"


def _line(certificate: t.Any) -> str:
    return (
        f"{certificate.subject}, {certificate.key_type}, until {certificate.not_after:%Y-%m-%d},"
        f" sha256 {short(certificate.fingerprint)}"
    )
