# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which requests fail while workloads lose their sidecars one at a time."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint.item import Evidence, Item, Reason
from ansible_collections.meshops.istio.plugins.module_utils.purge.outages import OutageKind, outages


def restarted(name, namespace="shop"):
    return Item("sidecars", "restart", "apps/v1", "Deployment", namespace, name, (Evidence(Reason.SIDECAR),))


def deployment(name, namespace="shop"):
    meta = {"labels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"metadata": meta}},
    }


def authentication(name, namespace="shop", mode=None, app=None, ports=None, created="2026-01-01T00:00:00Z"):
    spec = {
        **({"mtls": {"mode": mode}} if mode else {}),
        **({"selector": {"matchLabels": {"app": app}}} if app else {}),
        **({"portLevelMtls": ports} if ports else {}),
    }
    meta = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": meta, "spec": spec}


def rule(host, namespace="shop", **spec):
    meta = {"name": "rule", "namespace": namespace}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": meta,
        "spec": {"host": host, **spec},
    }


def found_by(*listed, restarts=("a", "b"), stuck=()):
    objects = [deployment("a"), deployment("b"), *listed]
    return outages(objects, [restarted(name) for name in restarts], stuck, {"istio-system"})


def warn(*listed, **options):
    return [str(outage) for outage in found_by(*listed, **options)]


def test_a_strict_namespace_is_named_with_its_workloads_and_the_remedy():
    (found,) = warn(authentication("default", mode="STRICT"))
    assert found.startswith("PeerAuthentication shop/default demands mutual TLS (STRICT) of 2 workloads")
    assert "Deployment shop/a, Deployment shop/b" in found
    assert "PERMISSIVE" in found


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ([authentication("mesh", "istio-system", "STRICT")], ["istio-system/mesh demands mutual TLS (STRICT) of 2 "]),
        ([authentication("other", "another", "STRICT")], []),
        ([authentication("mesh", "istio-system", "STRICT"), authentication("default", mode="PERMISSIVE")], []),
        ([authentication("mesh", "istio-system", "STRICT"), authentication("default")], ["istio-system/mesh"]),
        (
            [authentication("default", mode="PERMISSIVE"), authentication("one", mode="STRICT", app="a")],
            ["shop/one demands mutual TLS (STRICT) of 1 workload (Deployment shop/a)"],
        ),
        ([authentication("one", mode="STRICT", app="nobody")], []),
        ([authentication("port", app="b", mode="PERMISSIVE", ports={"80": {"mode": "STRICT"}})], ["shop/port"]),
        (
            [
                authentication("young", mode="STRICT", created="2026-02-01T00:00:00Z"),
                authentication("old", mode="PERMISSIVE", created="2026-01-01T00:00:00Z"),
            ],
            [],
        ),
    ],
)
def test_the_rule_that_is_in_force_counts(rules, named):
    found = warn(*rules)
    assert len(found) == len(named)
    assert all(words in text for words, text in zip(named, found, strict=True))


@pytest.mark.parametrize(
    ("destination", "warned"),
    [
        (rule("echo", trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}), True),
        (rule("echo.shop.svc.cluster.local", "another", trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}), True),
        (rule("*.local", "istio-system", trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}), True),
        (rule("echo", subsets=[{"name": "v1", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}]), True),
        (
            rule(
                "echo", trafficPolicy={"portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "ISTIO_MUTUAL"}}]}
            ),
            True,
        ),
        (rule("echo.another", trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}), False),
        (rule("bank.example.com", trafficPolicy={"tls": {"mode": "MUTUAL"}}), False),
        (rule("echo"), False),
    ],
)
def test_destination_rules_that_demand_the_sidecars_tls(destination, warned):
    found = warn(destination)
    assert bool(found) == warned
    assert not found or "ISTIO_MUTUAL" in found[0]


def test_nothing_is_said_where_nothing_is_restarted():
    assert warn(authentication("default", mode="STRICT"), restarts=()) == []


def policy(*sources, namespace="shop", action=None, app=None, when=None):
    rule = {"from": [{"source": source} for source in sources]} if sources else {}
    spec = {
        "rules": [{**rule, **({"when": when} if when else {})}],
        **({"action": action} if action else {}),
        **({"selector": {"matchLabels": {"app": app}}} if app else {}),
    }
    meta = {"name": "policy", "namespace": namespace}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("authorization", "workloads"),
    [
        (policy({"principals": ["cluster.local/ns/shop/sa/a"]}), 2),
        (policy({"namespaces": ["shop"]}, app="b"), 1),
        (policy({"serviceAccounts": ["shop/a"]}, namespace="istio-system"), 2),
        (policy(when=[{"key": "source.principal", "values": ["x"]}]), 2),
        (policy({"notPrincipals": ["x"]}, action="DENY"), 2),
        (policy(when=[{"key": "source.namespace", "notValues": ["x"]}], action="DENY"), 2),
        (policy({"principals": ["x"]}, action="DENY"), 0),
        (policy({"ipBlocks": ["10.0.0.0/8"]}), 0),
        (policy({"principals": ["x"]}, namespace="another"), 0),
        (policy({"principals": ["x"]}, app="nobody"), 0),
        (policy({"principals": ["x"]}, action="AUDIT"), 0),
        (policy(), 0),
    ],
)
def test_policies_by_identity_are_outages(authorization, workloads):
    found = found_by(authorization)
    assert [(each.kind, len(each.workloads)) for each in found] == (
        [(OutageKind.IDENTITY, workloads)] if workloads else []
    )


def test_strict_for_a_pod_that_keeps_its_sidecar_is_an_outage():
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "alone", "namespace": "shop", "labels": {"app": "alone"}},
    }
    stuck = Item("", "leave", "v1", "Pod", "shop", "alone", (Evidence(Reason.NO_CONTROLLER),))
    (found,) = found_by(pod, authentication("own", mode="STRICT", app="alone"), stuck=[stuck])
    assert found.workloads == ("Pod shop/alone",)
    assert found.report()["reason"] == "StrictMutualTls"
