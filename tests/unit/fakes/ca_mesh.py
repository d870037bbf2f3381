# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh in memory for rotations: an API server, an istiod that follows cacerts, and proxies that follow istiod."""

from __future__ import annotations

import base64
import copy
import datetime
import functools
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import (
    actions,
    authority,
    observe,
    procedure,
    proof,
    status,
    trust_bundle,
)
from ansible_collections.meshops.istio.plugins.module_utils.mesh import certificates
from ansible_collections.meshops.istio.plugins.module_utils.mesh.pods import describe_proxy
from ansible_collections.meshops.istio.plugins.module_utils.proxies.proxy import Proxy

NOW = observe.now()
HOUR = datetime.timedelta(hours=1)
PUSH = "defaultConfig: {proxyMetadata: {PROXY_CONFIG_XDS_AGENT: 'true'}}"
PARAMS = {
    "namespace": "istio-system", "timeout": 60, "source": "generated", "files": None, "key_type": "EC-P256",
    "root_days": 3650, "intermediate_days": 730, "root_dir": None, "root_key": None, "trust_domains": None,
    "mesh_config": None, "min_days": 30, "warn_days": 60, "restart_proxies": False, "unproven_proxies": False,
    "report": None,
}  # fmt: skip


def made(**spec):
    return authority.generated(authority.CaSpec(**spec), NOW)


@functools.cache
def leaf(bundle):
    """Something that the signer has issued."""
    return certificates.make_intermediate(bundle.signer, bundle.key, ["cluster.local"], 1, "EC-P256", NOW)[0]


def self_signed():
    return trust_bundle.plugged(*certificates.make_root("cluster.local", 3650, "EC-P256", NOW), [])


def iso(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def encoded(data):
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


class Mesh:
    """The part of an API server that a rotation needs, an istiod that follows cacerts, and proxies that follow istiod.

    :ivar loaded: what istiod works with
    :ivar writes: what was written to the API server, in order
    :ivar served: what /debug/syncz tells beside the pods that are there
    """

    concurrency = 2

    def __init__(self, monkeypatch):
        self.objects: dict[tuple, dict] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.loaded = self.own = None
        self.watches = False
        self.multi_root = True
        self.served: list[str] = []
        self.held_by: dict[str, trust_bundle.Bundle] = {}
        self.put("Namespace", "istio-system", None, status={})
        monkeypatch.setattr(proof, "read_proxies", self.read)
        monkeypatch.setattr(status, "read_proxies", self.read)
        monkeypatch.setattr(observe, "_reported_expiries", self.expiries)
        monkeypatch.setattr(procedure, "restart_istiods", self.restart)
        monkeypatch.setattr(proof, "_POLL", 0)

    # -- the API server ---------------------------------------------------------

    def put(self, kind, name, namespace="istio-system", **fields):
        meta = {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": iso(NOW - 2 * HOUR)}
        meta |= {"resourceVersion": "1", **fields.pop("metadata", {})}
        self.objects[kind, namespace, name] = {"kind": kind, "metadata": meta, **fields}

    def get(self, kind, name, namespace=None):
        return copy.deepcopy(self.objects.get((kind.kind, namespace, name)))

    def list(self, kind, namespace=None, labels=None, fields=None):
        if kind.kind == "ConfigMap" and fields:
            if self.loaded is None:
                return []
            return [
                {"metadata": {"namespace": ns}, "data": {"root-cert.pem": self.loaded.roots}} for ns in self.homes()
            ]
        found = [o for (k, ns, _n), o in self.objects.items() if k == kind.kind and namespace in (None, ns)]
        if labels and "=" not in labels:
            return copy.deepcopy([o for o in found if labels in (o["metadata"].get("labels") or {})])
        wanted = dict([labels.split("=")]) if labels else {}
        return copy.deepcopy([o for o in found if wanted.items() <= (o["metadata"].get("labels") or {}).items()])

    def homes(self):
        return [name for kind, _ns, name in self.objects if kind == "Namespace"]

    def create(self, obj):
        meta = obj["metadata"]
        if obj["kind"] != "Lease":
            self.writes.append(("create", obj["kind"], meta["name"]))
        obj = copy.deepcopy(obj)
        obj["metadata"] |= {"creationTimestamp": iso(NOW), "resourceVersion": "1", "uid": meta["name"]}
        self.objects[obj["kind"], meta.get("namespace"), meta["name"]] = obj
        if obj["kind"] != "Lease":
            self.follow()

    def patch(self, kind, name, patch, namespace=None):
        if kind.kind == "Lease":
            lease = self.objects[kind.kind, namespace, name]
            assert patch["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"]
            lease["metadata"]["resourceVersion"] += "1"
            lease["spec"].update(patch["spec"])
            return
        self.writes.append(("patch", kind.kind, name))
        found = self.objects[kind.kind, namespace, name]
        for part, into in (
            (patch.get("data") or {}, found.setdefault("data", {})),
            (patch["metadata"].get("annotations") or {}, found["metadata"].setdefault("annotations", {})),
        ):
            into.update(part)
            for key in [key for key, value in part.items() if value is None]:
                into.pop(key)
        self.follow()

    def delete(self, kind, name, namespace=None, uid=None):
        if kind.kind != "Lease":
            self.writes.append(("delete", kind.kind, name))
        self.objects.pop((kind.kind, namespace, name), None)

    def execute(self, *_words):
        return json.dumps([{"proxy": name} for name in self.served])

    def secret(self, name, data, **annotations):
        self.put("Secret", name, metadata={"annotations": annotations}, data=encoded(data))

    def held(self, name="cacerts"):
        return observe.secret_text(self.objects.get(("Secret", "istio-system", name)))

    def config(self, mesh, name="istio"):
        self.put("ConfigMap", name, data={"mesh": mesh})

    # -- istiod and proxies -----------------------------------------------------

    def istiod(self, name="istiod-1", namespace="istio-system", revision="", started=NOW - HOUR):
        env = [{"name": "ISTIO_MULTIROOT_MESH", "value": str(self.multi_root).lower()}]
        env += [{"name": "REVISION", "value": revision}] if revision else []
        state = {"running": {"startedAt": iso(started)}} if started else {"waiting": {}}
        self.put(
            "Pod", name, namespace,
            metadata={"labels": {"app": "istiod"}},
            spec={"containers": [{"name": "discovery", "env": env}]},
            status={"conditions": [{"type": "Ready", "status": str(bool(started))}],
                    "containerStatuses": [{"name": "discovery", "state": state}]},
        )  # fmt: skip

    def proxy(
        self,
        name,
        push=True,
        args=("proxy", "sidecar"),
        address="istiod.istio-system.svc:15012",
        ready=True,
        revision="default",
    ):
        env = [{"name": "CA_ADDR", "value": address}]
        env += [{"name": "PROXY_CONFIG_XDS_AGENT", "value": "true"}] if push else []
        owner = {"controller": True, "kind": "ReplicaSet", "name": f"{name}-h"}
        self.put(
            "Pod", name, "app",
            metadata={"labels": {"pod-template-hash": "h", "istio.io/rev": revision}, "ownerReferences": [owner]},
            spec={"containers": [{"name": "istio-proxy", "args": list(args), "env": env}]},
            status={"conditions": [{"type": "Ready", "status": str(ready)}],
                    "containerStatuses": [{"name": "istio-proxy", "state": {"running": {"startedAt": iso(NOW)}}}]},
        )  # fmt: skip

    def running(self, own=None, plugged=None):
        """An istiod with a CA of its own making, or with one that is plugged in; and a proxy."""
        self.own = own
        if own:
            self.secret("istio-ca-secret", {"ca-cert.pem": own.certificate, "ca-key.pem": own.key})
        if plugged:
            self.secret("cacerts", trust_bundle.secret_data(plugged))
        self.loaded, self.watches = plugged or own, plugged is not None
        self.config(PUSH)
        self.istiod()
        self.proxy("web")
        return self

    def follow(self):
        """What istiod does when its mounted secret changes (handleEvent in pilot/pkg/bootstrap/istio_ca.go)."""
        new = trust_bundle.bundle_of(self.held())
        if not self.watches or new is None or self.loaded is None:
            return
        old_roots, new_roots = (certificates.fingerprints(each.roots) for each in (self.loaded, new))
        if new.roots != self.loaded.roots and not self.multi_root:
            return
        if old_roots <= new_roots or new_roots <= old_roots:
            self.loaded = new

    def restart(self, *_words):
        plugged = None if "istio-generated" in self.held() else trust_bundle.bundle_of(self.held())
        if plugged is None and self.own is None:
            self.own = trust_bundle.bundle_of(self.held()) or self_signed()
        self.loaded, self.watches = plugged or self.own, plugged is not None
        for key in [key for key, each in self.objects.items() if (each["metadata"].get("labels") or {}).get("app")]:
            del self.objects[key]
        self.istiod("istiod-2", started=NOW + HOUR)

    def expiries(self, *_words):
        first = (certificates.certificates(self.loaded.chain) or (self.loaded.signer,))[0]
        return int(self.loaded.trusted[0].not_after.timestamp()), int(first.not_after.timestamp())

    def read(self, _cluster, pods):
        found = []
        for pod in pods:
            held = self.held_by.get(pod["metadata"]["name"], self.loaded)
            roots = certificates.fingerprints(held.roots)
            read = {"roots": roots, "root_certificates": held.trusted, "chain": (leaf(held),), "mounted": roots}
            described = describe_proxy(pod)
            found.append(Proxy(**described, **({} if described["kind"] == "ztunnel" else read)))
        return found


def run(mesh, action, check=False, **params):
    mesh.writes.clear()
    return actions.run({**PARAMS, "action": action, **params}, mesh, check_mode=check)


def phases(result):
    return [phase["phase"] for phase in result["phases"]]


def secrets(mesh):
    return sorted(name for kind, _ns, name in mesh.objects if kind == "Secret")


def killed_after(mesh, monkeypatch, phase, action="rotate", **params):
    """A run that ends when it has written a phase."""
    real = proof.Proof.prove

    def prove(self, expected, reached):
        if reached == phase:
            raise KeyboardInterrupt
        real(self, expected, reached)

    with monkeypatch.context() as patched:
        patched.setattr(proof.Proof, "prove", prove)
        with pytest.raises(KeyboardInterrupt):
            run(mesh, action, **params)
