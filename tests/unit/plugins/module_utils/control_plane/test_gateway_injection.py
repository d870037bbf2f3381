# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.gateway_injection import injection_problems
from fakes.api_server import ApiServer
from fakes.objects import gateway, obj, workload


def injector(revision: str, tag: str = "") -> dict:
    labels = {"istio.io/rev": revision, **({"istio.io/tag": tag} if tag else {})}
    return obj("MutatingWebhookConfiguration", f"injector-{tag or revision}", labels=labels)


def problems(deployment: dict, *injectors: dict, **namespace: str) -> list[str]:
    labels = {name.replace("_", "-"): value for name, value in namespace.items()}
    labels = {"istio.io/rev" if name == "rev" else name: value for name, value in labels.items()}
    edge = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edge", "labels": labels}}
    return injection_problems(ApiServer([edge, *injectors]), [deployment])


@pytest.mark.parametrize(
    ("revision", "namespace", "injectors"),
    [
        ("", {}, [injector("default")]),
        ("", {}, [injector("1-31", "default")]),
        ("1-31", {}, [injector("1-31")]),
        ("prod", {}, [injector("1-31", "prod")]),
        ("", {"rev": "1-31"}, [injector("1-31")]),
        ("1-31", {"istio_injection": "enabled"}, [injector("default")]),
    ],
)
def test_injector_that_completes_the_pods(revision, namespace, injectors):
    assert problems(gateway(revision=revision), *injectors, **namespace) == []


def test_revision_that_does_not_exist():
    (problem,) = problems(gateway(revision="prd"), injector("1-31"), injector("1-31", "prod"))
    assert problem == (
        "Deployment edge/edge: its image auto is replaced by an injector, and none serves revision or tag prd"
        " (NotFound) (did you mean prod?): there are 1-31, prod. Correct the revision (gateways_revision), or install"
        " that control plane first"
    )
    assert "no injector exists" in problems(gateway())[0]


def test_namespace_that_forbids_injection():
    (problem,) = problems(gateway(), injector("default"), istio_injection="disabled")
    assert "namespace edge forbids injection (label istio-injection=disabled). Remove the label" in problem


def test_namespace_that_chooses_a_missing_revision():
    (problem,) = problems(gateway(), injector("default"), rev="old")
    assert "Correct the label istio.io/rev=old of namespace edge" in problem


def test_injector_of_the_same_plan_counts():
    assert injection_problems(ApiServer(), [gateway(revision="1-31"), injector("1-31")]) == []


def test_what_has_an_image_of_its_own_is_not_checked():
    server = ApiServer()
    assert injection_problems(server, [workload()]) == []
    assert server.requests == []


def test_who_may_not_list_injectors_is_not_refused():
    server = ApiServer()
    server.refuse(lambda request: ApiError("no", 403))
    assert injection_problems(server, [gateway()]) == []
