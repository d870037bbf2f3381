# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes into a support bundle."""

from __future__ import annotations

import re
import stat
import tarfile

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Footprint, Item
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.support_bundle import (
    MOST_SIDECARS,
    chosen,
    collect,
    wanted_logs,
    with_logs,
    write,
)
from fakes.api_server import ApiServer


def obj(kind, name, namespace="shop", api_version="v1", **more):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}


def pod(name, namespace="shop", sidecar=False, containers=("app",), restarts=0):
    found = obj("Pod", name, namespace, spec={"containers": [{"name": container} for container in containers]})
    if sidecar:
        found["metadata"]["annotations"] = {"sidecar.istio.io/status": "{}"}
    states = [{"name": container, "restartCount": restarts} for container in containers]
    found["status"] = {"phase": "Running", "containerStatuses": states}
    return found


ISTIOD = Item("control_plane", "delete", "apps/v1", "Deployment", "istio-system", "istiod", ("chart",))
FOUND = Footprint((ISTIOD,), ())


def test_what_is_istios_and_what_configures_it_is_chosen():
    listed = [
        obj("Deployment", "istiod", "istio-system", "apps/v1"),
        obj("Deployment", "shop", api_version="apps/v1"),
        obj("VirtualService", "reviews", api_version="networking.istio.io/v1"),
        obj("HTTPRoute", "reviews", api_version="gateway.networking.k8s.io/v1"),
        pod("istiod-1", "istio-system"),
        pod("member", sidecar=True),
        pod("stranger"),
        obj("Secret", "sh.helm.release.v1.istiod.v1", "istio-system", type="helm.sh/release.v1"),
    ]
    assert [found["metadata"]["name"] for found in chosen(listed, FOUND)] == [
        "istiod",
        "reviews",
        "reviews",
        "istiod-1",
        "member",
    ]


def test_of_a_member_of_the_mesh_only_the_proxys_log_is_taken():
    logs = wanted_logs(pod("member", sidecar=True, containers=("app", "istio-proxy")))
    assert [log.container for log in logs] == ["istio-proxy"]


def test_the_log_before_a_restart_is_taken_too():
    logs = wanted_logs(pod("istiod", containers=("discovery",), restarts=2))
    assert [(log.container, log.previous) for log in logs] == [("discovery", False), ("discovery", True)]


def test_of_many_sidecars_the_troubled_ones_come_first():
    members = [pod(f"m{n}", sidecar=True) for n in range(MOST_SIDECARS + 10)]
    for member in members[:-1]:
        member["status"]["containerStatuses"][0]["ready"] = True
    gateway = pod("ingress", sidecar=True, containers=("istio-proxy",))
    gateway["spec"]["containers"][0]["args"] = ["proxy", "router"]
    taken = with_logs([*members, gateway, pod("istiod", "istio-system")])
    names = [found["metadata"]["name"] for found in taken]
    assert names[:3] == ["ingress", "istiod", members[-1]["metadata"]["name"]]
    assert len(taken) == MOST_SIDECARS + 2


def test_the_archive_is_for_its_owner_only(tmp_path):
    dest = tmp_path / "mesh.tar.gz"
    dest.write_text("old")
    dest.chmod(0o644)
    write({"mesh.json": "{}", "logs/a.log": "ä"}, str(dest))
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    with tarfile.open(dest) as archive:
        assert archive.getnames() == ["mesh/logs/a.log", "mesh/mesh.json"]
        assert archive.extractfile("mesh/logs/a.log").read().decode() == "ä"


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    with pytest.raises(MeshopsError, match="dest: can't write .*nowhere/mesh.tar.gz"):
        write({}, str(tmp_path / "nowhere" / "mesh.tar.gz"))


@pytest.mark.parametrize(
    "name", ["../../../../etc/cron.d/x", "..", "/etc/passwd", "a\nb", "\x1b[31m", "{{ 1/0 }}", "a/../b"]
)
def test_no_name_in_a_pods_status_leads_out_of_the_archive(tmp_path, name):
    """A tenant that may write the status of a pod chooses the names of its containers there."""
    cluster = ApiServer(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant"}},
            {
                **obj("Deployment", "istiod", "tenant", "apps/v1", spec={}),
                "metadata": {
                    "name": "istiod",
                    "namespace": "tenant",
                    "labels": {"operator.istio.io/component": "Pilot", "app": "istiod"},
                },
            },
            pod("own", "tenant", containers=(name,), restarts=1),
        ]
    )
    cluster.outputs["own"] = "log"
    files = collect(cluster, {}, 10)
    logs = [path for path in files if path.startswith("logs/")]
    assert len(logs) == 2, "the pod is beside a control plane, so its logs are taken"
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]+", path) and ".." not in path.split("/") for path in files)
    assert all(path.count("/") == 2 for path in logs)
    write(files, str(tmp_path / "b.tar.gz"))
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        archive.extractall(tmp_path / "out", filter="data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz", "out"]
