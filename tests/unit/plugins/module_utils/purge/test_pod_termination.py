# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which ending pods are told to end soon: istiods, and gateways to which nobody is connected."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Item
from ansible_collections.meshops.istio.plugins.module_utils.purge.pod_termination import PodTermination, has_clients

#: A gateway of Istio 1.31 while nobody but the kubelet and istiod has to do with it.
LISTENS = """\
   0: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 4878298 1 0 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 4878310 1 0 100 0 0 10 0
   2: 00000000:88B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 4878311 1 0 100 0 0 10 0
"""
OTHERS = """\
   5: 1D00F40A:3AAD 0100F40A:D718 01 00000000:00000000 03:00001331 00000000     0        0 0 3 0
   6: 1D00F40A:1F90 0100F40A:A08C 06 00000000:00000000 03:0000170C 00000000     0        0 0 3 0
   7: 1D00F40A:8854 FEA9FEA9:0050 02 00000001:00000000 01:0000054D 00000008  1337        0 4877394 2 0 1600 0 0 1 -1
  10: 0100007F:3A98 0100007F:B4D2 01 00000000:00000000 00:00000000 00000000  1337        0 4879447 1 0 20 4 29 12 -1
  17: 1D00F40A:84B8 1019600A:3AA4 01 00000000:00000000 02:000AF4B8 00000000  1337        0 4879185 2 0 20 4 29 19 -1
"""
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LOOPBACK6 = (
    "   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:C79E 01 0:0 02:0 0 1337 0 1 2 0 20\n"
)


def told(tcp="", udp="", tcp6="", ports="32768\t60999"):
    return f"{ports}\n{HEAD}{LISTENS}{OTHERS}{tcp}udp\n{HEAD}{udp}tcp\n{HEAD}{tcp6}udp\n{HEAD}"


def tcp(own, state="01", other="0200000A:D718"):
    return (
        f"  20: 1D00F40A:{own:04X} {other} {state} 00000000:00000000 02:00000000 00000000  1337 0 1 2 0 20 4 29 19 -1\n"
    )


def test_health_checks_and_istiod_are_no_clients():
    assert not has_clients(told())
    assert not has_clients(told(tcp6=LOOPBACK6)), "the agent, asked by Envoy"
    assert not has_clients(told(udp=tcp(40000, "07"))), "a lookup of a name"


@pytest.mark.parametrize(
    "text",
    [
        told(tcp(8080)),
        told(tcp(9999)),
        told(tcp(35000)),
        told(tcp(8080, "08")),
        told(tcp(8080, "03")),
        told(tcp6=LOOPBACK6.replace("0100007F:C79E", "0200000A:C79E")),
        told(udp=tcp(8443, "07")),
    ],
    ids=["a port", "a closed port", "a high port", "half closed", "being made", "over IPv6", "HTTP/3"],
)
def test_a_client(text):
    assert has_clients(text)


@pytest.mark.parametrize("text", ["", "cat: not found", "32768 60999\nwhat is this", f"32768 60999\n{HEAD}udp\n"])
def test_what_cannot_be_read_may_be_a_client(text):
    assert has_clients(text)


class Cluster:
    """Pods, and what was asked of them."""

    concurrency = 4

    def __init__(self, *pods, answer=None, node="True"):
        self.pods, self.answer, self.node = pods, answer, node
        self.asked, self.deleted = [], []

    def list(self, _kind, namespace):
        return [pod for pod in self.pods if pod["metadata"]["namespace"] == namespace]

    def get(self, _kind, _name):
        return {"status": {"conditions": [{"type": "Ready", "status": self.node}]}}

    def execute(self, _namespace, name, command, container, timeout):
        assert container == "istio-proxy"
        self.asked.append(command[0])
        if self.answer is None:
            raise MeshopsError("no sh")
        return self.answer

    def delete(self, _kind, name, _namespace, options, uid):
        assert uid == name
        self.deleted.append((name, options.grace))


def pod(owner, *containers, ending=True, grace=30):
    name = f"{owner}-7-x"
    meta = {
        "name": name,
        "namespace": "mesh",
        "uid": name,
        "labels": {"pod-template-hash": "7"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": f"{owner}-7", "controller": True}],
    }
    if ending:
        meta |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
    return {"metadata": meta, "spec": {"nodeName": "n", "containers": [{"name": name} for name in containers]}}


def workload(name, part="gateways"):
    return Item(part, "delete", "apps/v1", "Deployment", "mesh", name, ("label",))


def test_an_istiod_is_needed_by_nobody():
    cluster = Cluster(pod("istiod", "discovery"))
    assert not PodTermination(cluster).hurry([workload("istiod", "control_plane")])
    assert cluster.deleted == [("istiod-7-x", 1)]


def test_a_gateway_without_clients_ends_soon():
    cluster = Cluster(pod("gw", "istio-proxy"), answer=told())
    endings = PodTermination(cluster)
    assert not endings.hurry([workload("gw")])
    assert not endings.hurry([workload("gw")])
    assert cluster.asked == ["sh", "pilot-agent"], "told once"
    assert cluster.deleted == []


def test_a_gateway_with_clients_takes_its_time():
    cluster = Cluster(pod("gw", "istio-proxy"), answer=told(tcp(8080)))
    endings = PodTermination(cluster)
    assert endings.hurry([workload("gw")])
    assert endings.hurry([workload("gw")])
    assert cluster.asked == ["sh"], "neither told to quit, nor asked again at once"


def test_a_gateway_that_can_not_be_asked_takes_its_time():
    cluster = Cluster(pod("gw", "istio-proxy"))
    endings = PodTermination(cluster)
    assert endings.hurry([workload("gw")])
    assert endings.hurry([workload("gw")])
    assert cluster.asked == ["sh"]


@pytest.mark.parametrize("node", ["False", "Unknown"])
def test_a_pod_that_should_long_have_ended_on_a_node_that_does_not_answer_is_struck_off(node):
    cluster = Cluster(pod("cni", "install-cni", grace=1), pod("mine", "app", grace=1), node=node)
    PodTermination(cluster).hurry([workload("cni", "cni")])
    assert cluster.deleted == [("cni-7-x", 0)]
    late = pod("cni", "install-cni", grace=1)
    late["metadata"]["deletionTimestamp"] = "2999-01-01T00:00:00Z"
    cluster = Cluster(late, node=node)
    PodTermination(cluster).hurry([workload("cni", "cni")])
    assert cluster.deleted == [], "it still has its time"


@pytest.mark.parametrize(
    ("found", "slow"),
    [
        (pod("gw", "istio-proxy", ending=False), True),
        (pod("gw", "istio-proxy", "mine"), True),
        (pod("gw", "istio-proxy", grace=1), False),
        (pod("another", "istio-proxy"), False),
    ],
    ids=["not ending yet", "with a container of the user's", "told already", "of another workload"],
)
def test_what_is_left_alone(found, slow):
    cluster = Cluster(found, answer=told())
    assert PodTermination(cluster).hurry([workload("gw")]) is slow
    assert cluster.deleted == []
    assert cluster.asked == []
