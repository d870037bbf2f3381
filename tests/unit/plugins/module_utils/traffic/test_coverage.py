# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.traffic.coverage import gaps


def pod(name="web-1", containers=("web", "istio-proxy"), phase="Running", args=None, **meta):
    spec = {"containers": [{"name": each} for each in containers]}
    if args:
        spec["containers"][0]["args"] = args
    meta = {"name": name, "namespace": "demo", "labels": {"app": "web"}, **meta}
    return {"metadata": meta, "spec": spec, "status": {"phase": phase}}


MESHED = pod()
REDIRECTED = {"ambient.istio.io/redirection": "enabled"}
AMBIENT = {"istio.io/dataplane-mode": "ambient"}


def reasons(pods, labels=None, **more):
    return [(gap["reason"], gap["pod"]) for gap in gaps("demo", labels or {}, pods, **more)]


@pytest.mark.parametrize(
    "other",
    [
        pod(containers=("web",), phase="Succeeded"),
        pod(containers=("web",), deletionTimestamp="2026-01-01T00:00:00Z"),
        pod(containers=("istio-proxy",), args=["proxy", "router"]),
    ],
    ids=["a pod that has ended", "a pod that is being deleted", "a gateway"],
)
def test_a_namespace_whose_running_pods_have_sidecars_has_no_gap(other):
    assert reasons([MESHED, other]) == []


@pytest.mark.parametrize(
    ("pods", "labels", "wanted"),
    [
        ([MESHED, pod("bare", ("web",))], {}, [("no_sidecar", "bare")]),
        ([MESHED, pod("a", ("web",), annotations=REDIRECTED)], {}, [("ambient", "a")]),
        ([MESHED, pod("a", ("web",))], AMBIENT, [("ambient", "a")]),
        ([MESHED, pod("a", ("web",), labels=AMBIENT)], {}, [("ambient", "a")]),
        ([MESHED, pod("w", ("istio-proxy",), args=["proxy", "waypoint"])], {}, [("ambient", "w")]),
        ([MESHED, pod("a", ("web",), labels={"istio.io/dataplane-mode": "none"})], AMBIENT, [("no_sidecar", "a")]),
        ([], {}, [("no_workloads", "")]),
    ],
    ids=["no sidecar", "redirected", "ambient namespace", "ambient pod", "waypoint", "not in ambient", "no pods"],
)
def test_what_can_not_be_observed_is_a_gap(pods, labels, wanted):
    assert reasons(pods, labels) == wanted


def test_an_accepted_workload_is_no_gap_but_in_ambient_mode():
    assert reasons([MESHED, pod("bare", ("web",))], accepted=["demo/web"]) == []
    assert reasons([MESHED, pod("a", ("web",))], AMBIENT, accepted=["demo/web"]) == [("ambient", "a")]


def test_an_observation_that_took_no_time_is_a_gap():
    assert reasons([MESHED], observed=False) == [("not_observed", "")]
