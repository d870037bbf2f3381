# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory is what the cluster has: an inventory that loses things ends in the cluster of what is left.

The inventory of the demo gains a release, a namespace, the CNI plugin, a tag and a gateway, one after the other, and
loses them in the opposite order. After each loss the cluster equals, object by object, the one before that gain, which
the inventory that is left has made without ever having declared more.
"""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster import poll
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import decode

NAMESPACE, GATEWAY = KNOWN["", "Namespace"], KNOWN["networking.istio.io", "Gateway"]
INVENTORY = pathlib.Path(__file__).parents[2] / "playbooks/inventory/demo/group_vars/all"
QUIET = "quiet"
#: What comes and goes by itself, or with the pods.
TRANSIENT = {
    "Event", "Lease", "Pod", "ReplicaSet", "ControllerRevision", "Endpoints", "EndpointSlice", "PodMetrics",
    "NodeMetrics", "CSINode", "CertificateSigningRequest", "ComponentStatus", "IPAddress",
}  # fmt: skip
#: Metadata that is the server's, and annotations that controllers write.
SERVERS = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
CONTROLLERS = ("deployment.kubernetes.io/revision", "control-plane.alpha.kubernetes.io/leader",
               "deprecated.daemonset.template.generation")  # fmt: skip


def declared(obj: dict) -> object:
    """An object without what the server and controllers write; of a release's record what it installs."""
    if obj.get("type") == "helm.sh/release.v1":
        record = decode(obj)
        # Not its manifest, which after an upgrade has the live values of fields that others own: the objects are here.
        return {"chart": record.version, "status": record.status, "values": record.values}
    meta = {name: value for name, value in obj["metadata"].items() if name not in SERVERS}
    annotations = {k: v for k, v in (meta.pop("annotations", None) or {}).items() if k not in CONTROLLERS}
    rest = {name: value for name, value in obj.items() if name not in ("metadata", "status", "apiVersion")}
    return {**rest, "metadata": meta, "annotations": annotations}


def objects(mesh) -> dict[tuple[str, str, str], object]:
    """Every object in the cluster, but for transient ones and records of superseded revisions."""

    def kubectl(*words: str) -> str:
        done = subprocess.run(
            ["kubectl", *words], capture_output=True, text=True, check=True, env=mesh.env, timeout=120
        )
        return done.stdout

    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    kinds = [kind for kind in kinds if not kind.startswith(("events", "componentstatuses"))]
    found = {}
    for obj in json.loads(kubectl("get", ",".join(kinds), "-A", "-o", "json"))["items"]:
        meta = obj["metadata"]
        labels = meta.get("labels") or {}
        if obj["kind"] in TRANSIENT or labels.get("status") == "superseded":
            continue
        name = labels["name"] if obj.get("type") == "helm.sh/release.v1" else meta["name"]
        found[obj["kind"], meta.get("namespace", ""), name] = declared(obj)
    return found


def differences(before: dict, after: dict) -> list[str]:
    """The objects that are not the same, and what of them."""
    lines = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new:
            what = "is gone" if new is None else "is new" if old is None else f"{old!r} became {new!r}"
            lines.append(f"{' '.join(key)}: {what}"[:2000])
    return lines


@pytest.fixture
def gains(mesh, tmp_path):
    """Name -> what the inventory says beside that of the demo; each has all before it."""
    chart = tmp_path / "extra"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "extra", "version": "1.0.0"}))
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {"a": "b"}}
    (chart / "templates/a.yaml").write_text(yaml.safe_dump(config_map))
    # Other tests' namespaces may still be terminating: what disappears with them is nothing that an inventory lost.
    phases = poll.until(lambda: {ns["status"]["phase"] for ns in mesh.cluster.list(NAMESPACE)} == {"Active"}, 180)
    assert phases, "a namespace is still terminating"
    demo = yaml.safe_load((INVENTORY / "objects.yml").read_text())
    lists = yaml.safe_load((INVENTORY / "mesh.yml").read_text())
    mesh.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": QUIET}})
    edge = {"name": "edge", "direction": "egress", "values": "{{ demo_gateway_values }}"}
    release = {"name": "extra", "namespace": QUIET, "chart": str(chart)}
    yield {
        "release": {"site_releases": [*demo["site_releases"], release]},
        "namespace": {"injection_namespaces": [*lists["injection_namespaces"], QUIET]},
        "CNI plugin": {"control_plane_cni": True},
        "tag": {"control_plane_tags": ["canary"]},
        "gateway": {"gateways_list": [*lists["gateways_list"], edge]},
    }
    mesh.play("site")
    mesh.cluster.delete(NAMESPACE, QUIET)


def test_an_inventory_that_loses_things_ends_in_the_cluster_of_what_is_left(mesh, gains, tmp_path):
    def site(declared: list[str], *words: str, fails: bool = False):
        # The demo's pods are left as they are: test_cni.py restarts them.
        variables = {"injection_restart": "never"}
        for name in declared:
            variables |= gains[name]
        (tmp_path / "variables.json").write_text(json.dumps(variables))
        return mesh.play("site", "-e", f"@{tmp_path}/variables.json", *words, fails=fails)

    names = list(gains)
    seen = [objects(mesh)]
    for count in range(1, len(names) + 1):
        assert site(names[:count]).count("changed") > 0
        seen.append(objects(mesh))
        assert differences(seen[-2], seen[-1]) != [], names[count - 1]

    public = {"selector": {"istio": "edge"}, "servers": [{"port": {"number": 80, "name": "h", "protocol": "HTTP"}}]}
    public["servers"][0]["hosts"] = ["edge.example.com"]
    meta = {"name": "edge", "namespace": QUIET}
    mesh.cluster.create({"apiVersion": GATEWAY.api_version, "kind": GATEWAY.kind, "metadata": meta, "spec": public})
    assert f"in use by Gateway {QUIET}/edge" in " ".join(site(names[:-1], "--check", fails=True).text.split())
    mesh.cluster.delete(GATEWAY, "edge", QUIET)

    for count in reversed(range(len(names))):
        assert site(names[:count]).count("changed") > 0
        assert differences(seen[count], objects(mesh)) == [], f"the {names[count]} is lost"
    assert site([]).count("changed") == 0
