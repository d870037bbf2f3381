# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan and the API server agree: an object is unchanged if and only if server-side apply leaves it as it was.

Random objects of kinds that differ in what matters: Istio's (atomic lists, some with keys), the Gateway API's (defaults
inside lists, lists with keys), built-in ones (quantities, defaults made by code, empty values that are dropped).
"""

from __future__ import annotations

import copy
import itertools

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.objects.schemas import server_schemas
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.compare import lacks_empty_list
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.identity import declared
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.plan import PlanOptions, plan
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

NUMBERS = itertools.count()
WORDS = st.sampled_from(["a", "b", "c", "http", "reviews", "v1", "v2"])
LABELS = st.dictionaries(
    st.one_of(WORDS, st.just("value")), st.sampled_from(["", "x", "true", "1", "1.1", "1.10"]), max_size=3
)
COUNTS = st.integers(0, 3)
PORTS = st.integers(1, 5)
DURATIONS = st.sampled_from(["1s", "5s", "1m"])


def fields(_required=None, **optional):
    return st.fixed_dictionaries(_required or {}, optional=optional)


def lists(item, low=0, by=None):
    return st.lists(item, min_size=low, max_size=3, unique_by=by)


#: Which of an empty selector and none is declared makes a difference.
SELECTORS = st.one_of(
    st.just({}), fields({"matchLabels": st.dictionaries(WORDS, st.sampled_from(["", "x"]), min_size=1)})
)
DESTINATIONS = fields({"host": WORDS}, subset=WORDS, port=fields({"number": PORTS}))
ROUTES = lists(fields({"destination": DESTINATIONS}, weight=COUNTS, headers=fields(request=fields(set=LABELS))), low=1)
MATCHES = lists(
    fields(
        {"uri": fields({"prefix": st.just("/x")})}, headers=st.dictionaries(WORDS, fields({"exact": WORDS}), max_size=2)
    )
)
VIRTUAL_SERVICES = fields(
    {"hosts": lists(WORDS, low=1)},
    exportTo=st.sampled_from([[], ["."], ["*"]]),
    gateways=lists(WORDS),
    http=lists(fields({"route": ROUTES}, match=MATCHES, timeout=DURATIONS, name=WORDS), low=1),
)
DESTINATION_RULES = fields(
    {"host": WORDS},
    trafficPolicy=fields(
        connectionPool=fields(tcp=fields({"maxConnections": PORTS})), loadBalancer=fields({"simple": st.just("RANDOM")})
    ),
    subsets=lists(fields({"name": WORDS}, labels=LABELS)),
    workloadSelector=fields(matchLabels=st.dictionaries(WORDS, WORDS, max_size=2)),
)
SERVICE_ENTRIES = fields(
    {"hosts": lists(WORDS, low=1), "resolution": st.just("NONE")},
    exportTo=st.sampled_from([[], ["."]]),
    addresses=lists(st.sampled_from(["192.0.2.1", "192.0.2.2"])),
    ports=lists(fields({"name": WORDS, "number": PORTS}, protocol=st.just("TCP")), by=lambda port: port["name"]),
)
WASM_PLUGINS = fields(
    {"url": st.just("oci://example.org/filter")},
    vmConfig=fields(env=lists(fields({"name": WORDS}, value=st.sampled_from(["", "x"])), by=lambda e: e["name"])),
    match=lists(fields(ports=lists(fields({"number": PORTS}), by=lambda port: port["number"])), low=1),
    pluginConfig=LABELS,
)
ENVOY_FILTERS = fields(
    configPatches=lists(
        fields(
            {"applyTo": st.just("CLUSTER")},
            patch=fields(
                {"operation": st.just("MERGE")},
                value=st.recursive(
                    st.one_of(st.booleans(), COUNTS, WORDS, st.just(1.5)),
                    lambda inner: st.one_of(lists(inner), st.dictionaries(WORDS, inner, max_size=2)),
                    max_leaves=4,
                ).filter(lambda value: isinstance(value, dict)),
            ),
        )
    )
)
BACKENDS = lists(fields({"name": WORDS, "port": PORTS}, weight=COUNTS, kind=st.just("Service")))
HTTP_ROUTES = fields(
    parentRefs=lists(
        fields({"name": WORDS}, namespace=WORDS, kind=st.just("Gateway")), by=lambda r: (r["name"], r.get("namespace"))
    ),
    hostnames=lists(st.sampled_from(["a.example.org", "b.example.org"]), by=lambda h: h),
    rules=lists(
        fields(
            backendRefs=BACKENDS,
            matches=lists(
                fields(
                    path=fields({"value": st.just("/x")}, type=st.sampled_from(["Exact", "PathPrefix"])),
                    method=st.just("GET"),
                ),
                by=str,
            ),
            timeouts=fields(request=DURATIONS),
        ),
        low=1,
    ),
)
GATEWAYS = fields(
    {
        "gatewayClassName": st.just("istio"),
        "listeners": lists(
            fields(
                {"name": WORDS, "port": PORTS, "protocol": st.just("HTTP")},
                allowedRoutes=fields(namespaces=fields({"from": st.sampled_from(["All", "Same"])})),
            ),
            low=1,
            by=lambda item: item["name"],
        ).filter(lambda items: len({i["port"] for i in items}) == len(items)),
    }
)
SERVICES = fields(
    {
        "ports": lists(
            fields(
                {"port": PORTS, "name": WORDS},
                targetPort=st.one_of(PORTS, WORDS),
                protocol=st.sampled_from(["TCP", "UDP"]),
            ),
            low=1,
            by=(lambda p: p["port"], lambda p: p["name"]),
        )
    },
    selector=LABELS,
    type=st.sampled_from(["ClusterIP", "NodePort"]),
    externalIPs=lists(st.sampled_from(["192.0.2.1", "192.0.2.2"]), by=lambda ip: ip),
)
QUANTITIES = st.sampled_from(["100m", "0.1", "1", "1000m", 1, "1Gi", "1024Mi", "64Mi"])
SOURCES = [
    {"fieldRef": {"fieldPath": "metadata.name"}},
    {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}},
    {"resourceFieldRef": {"resource": "limits.cpu"}},
    {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}},
    {"configMapKeyRef": {"name": "a", "key": "b"}},
    {"configMapKeyRef": {"name": "a", "key": "b", "optional": False}},
]
CONTAINERS = fields(
    {"name": WORDS, "image": st.just("example.org/image:1")},
    args=lists(WORDS),
    env=lists(
        st.one_of(
            fields({"name": WORDS}, value=st.sampled_from(["", "x", "1.1", "1.10"])),
            fields({"name": WORDS, "valueFrom": st.sampled_from(SOURCES)}),
        ),
        by=lambda e: e["name"],
    ),
    ports=lists(fields({"containerPort": PORTS}), by=lambda p: p["containerPort"]),
    resources=fields(requests=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES, max_size=2)),
    imagePullPolicy=st.just("Always"),
)
TOLERATIONS = fields(
    {"key": WORDS, "operator": st.just("Exists"), "effect": st.just("NoExecute")}, tolerationSeconds=st.integers(0, 1)
)
AFFINITY_TERMS = fields({"topologyKey": WORDS}, labelSelector=SELECTORS, namespaceSelector=SELECTORS)
DEPLOYMENTS = fields(
    {
        "selector": st.just({"matchLabels": {"app": "x"}}),
        "template": fields(
            {
                "metadata": fields({"labels": LABELS.map(lambda labels: {**labels, "app": "x"})}),
                "spec": fields(
                    {"containers": lists(CONTAINERS, low=1, by=lambda c: c["name"])},
                    hostNetwork=st.booleans(),
                    tolerations=lists(TOLERATIONS),
                    affinity=fields(
                        {
                            "podAntiAffinity": fields(
                                requiredDuringSchedulingIgnoredDuringExecution=lists(AFFINITY_TERMS)
                            )
                        }
                    ),
                    terminationGracePeriodSeconds=PORTS,
                    volumes=lists(fields({"name": WORDS}, emptyDir=st.just({})), by=lambda v: v["name"]),
                ),
            }
        ),
    },
    replicas=COUNTS,
)
# No empty lists and maps: the server makes a new generation each time it is told matchLabels: {} or ingress: [].
PEERS = lists(fields(podSelector=SELECTORS, namespaceSelector=SELECTORS).filter(bool), low=1)
POLICY_PORTS = lists(fields({"port": PORTS}, protocol=st.just("TCP")), low=1)
NETWORK_POLICIES = fields(
    {"podSelector": SELECTORS},
    ingress=lists(st.one_of(fields({"from": PEERS}), fields(ports=POLICY_PORTS)), low=1),
    egress=lists(fields(to=PEERS, ports=POLICY_PORTS), low=1),
    policyTypes=st.just(["Ingress"]),
)
ENDPOINT_CONDITIONS = fields(ready=st.booleans(), serving=st.booleans(), terminating=st.booleans())
ENDPOINT_SLICES = {
    "addressType": st.just("IPv4"),
    "endpoints": lists(
        fields(
            {"addresses": st.sampled_from([["192.0.2.1"], ["192.0.2.2"]])},
            conditions=ENDPOINT_CONDITIONS,
            nodeName=WORDS,
        )
    ),
    "ports": lists(fields({"port": PORTS, "name": st.sampled_from(["", "a", "b"])}), by=lambda port: port["name"]),
}
SUBJECTS = lists(
    st.one_of(
        fields({"kind": st.just("User"), "name": WORDS}, apiGroup=st.just("rbac.authorization.k8s.io")),
        fields(
            {"kind": st.just("ServiceAccount"), "name": WORDS, "namespace": st.sampled_from(["default", "x"])},
            apiGroup=st.just(""),
        ),
    )
)
METRICS = lists(
    fields(
        {
            "type": st.just("External"),
            "external": fields(
                {
                    "metric": fields({"name": WORDS}, selector=SELECTORS),
                    "target": fields({"type": st.just("Value"), "value": st.sampled_from(["1", "1000m", "2"])}),
                }
            ),
        }
    ),
    low=1,
)
AUTOSCALERS = fields(
    {
        "maxReplicas": st.integers(3, 5),
        "scaleTargetRef": fields({"apiVersion": st.just("apps/v1"), "kind": st.just("Deployment"), "name": WORDS}),
    },
    minReplicas=st.integers(1, 3),
    metrics=METRICS,
)
KINDS = {
    "VirtualService": ("networking.istio.io/v1", {"spec": VIRTUAL_SERVICES}),
    "DestinationRule": ("networking.istio.io/v1", {"spec": DESTINATION_RULES}),
    "ServiceEntry": ("networking.istio.io/v1", {"spec": SERVICE_ENTRIES}),
    "WasmPlugin": ("extensions.istio.io/v1alpha1", {"spec": WASM_PLUGINS}),
    "EnvoyFilter": ("networking.istio.io/v1alpha3", {"spec": ENVOY_FILTERS}),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", {"spec": HTTP_ROUTES}),
    "Gateway": ("gateway.networking.k8s.io/v1", {"spec": GATEWAYS}),
    "Service": ("v1", {"spec": SERVICES}),
    "ConfigMap": ("v1", {"data": LABELS}),
    "Deployment": ("apps/v1", {"spec": DEPLOYMENTS}),
    "NetworkPolicy": ("networking.k8s.io/v1", {"spec": NETWORK_POLICIES}),
    "EndpointSlice": ("discovery.k8s.io/v1", ENDPOINT_SLICES),
    "RoleBinding": (
        "rbac.authorization.k8s.io/v1",
        {
            "roleRef": st.just({"kind": "Role", "name": "x", "apiGroup": "rbac.authorization.k8s.io"}),
            "subjects": SUBJECTS,
        },
    ),
    "HorizontalPodAutoscaler": ("autoscaling/v2", {"spec": AUTOSCALERS}),
}


def objects(kind):
    api_version, parts = KINDS[kind]
    meta = st.fixed_dictionaries({}, optional={"labels": LABELS, "annotations": LABELS})
    return st.fixed_dictionaries({"apiVersion": st.just(api_version), "kind": st.just(kind), "metadata": meta, **parts})


def mutilated(draw, obj):
    """A copy that lacks a field, or whose lists are in another order."""
    obj = copy.deepcopy(obj)
    places = []

    def walk(value):
        if isinstance(value, dict):
            places.extend(
                (value, key) for key in value if key not in ("apiVersion", "kind", "metadata", "name", "namespace")
            )
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            if len(value) > 1:
                places.append((value, None))
            for inner in value:
                walk(inner)

    walk(obj)
    if places:
        holder, key = draw(st.sampled_from(places))
        if key is None:
            holder.reverse()
        else:
            del holder[key]
    return obj


SPELLINGS = {"1.1": "1.10", "1.10": "1.1", "1": "1000m", "1000m": "1", "1Gi": "1024Mi", "1024Mi": "1Gi"}


def nearly(draw, obj):
    """A copy that lacks an empty value, 0 or false, or has a number spelled in another way: easy to overlook."""
    obj = copy.deepcopy(obj)
    places = []

    def walk(holder, value, key):
        if isinstance(value, dict):
            for name, inner in value.items():
                if name not in ("apiVersion", "kind"):
                    walk(value, inner, name)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk(value, inner, number)
        if (not value and isinstance(holder, dict)) or (isinstance(value, str) and value in SPELLINGS):
            places.append((holder, key))

    walk(None, obj, None)
    if places:
        holder, key = draw(st.sampled_from(places))
        if holder[key]:
            holder[key] = SPELLINGS[holder[key]]
        else:
            del holder[key]
    return obj


def visible(obj):
    """All of an object but its resourceVersion, when we have written it, and what others own.

    Who declares what the server fills in anyway loses it to who writes the same list without it; no value changes.
    """
    meta = dict(obj["metadata"], resourceVersion=None)
    ours = [entry for entry in meta.get("managedFields", ()) if entry["manager"] == "meshops.istio"]
    meta["managedFields"] = [{**entry, "time": None} for entry in ours]
    return {**obj, "metadata": meta}


@pytest.mark.parametrize("kind", list(KINDS))
def test_unchanged_means_that_the_server_changes_nothing(cluster, namespace, kind):
    schemas = server_schemas(cluster)

    @settings(
        max_examples=100,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(st.data())
    def check(data):
        name = f"o-{next(NUMBERS)}"

        def drawn(strategy):
            obj = copy.deepcopy(data.draw(strategy))
            obj["metadata"].update(name=name, namespace=namespace)
            return obj

        def apply(obj, **options):
            try:
                return cluster.apply(declared(obj), **options)
            except ApiError as refusal:
                assume(refusal.status not in (409, 422))
                raise

        first = drawn(objects(kind))
        how = data.draw(st.sampled_from(["same", "other", "mutilated", "nearly"]))
        close = nearly(data.draw, first)
        if how == "nearly" and data.draw(st.booleans(), label="the other way round"):
            first, close = close, first
        apply(first)
        if data.draw(st.booleans(), label="another manager writes too"):
            apply(drawn(objects(kind)), force=data.draw(st.booleans()), manager="rival")
        second = {
            "same": lambda: first,
            "other": lambda: drawn(objects(kind)),
            "mutilated": lambda: mutilated(data.draw, first),
            "nearly": lambda: close,
        }[how]()
        meta_kind = cluster.kind(first["apiVersion"], kind)
        live = cluster.get(meta_kind, name, namespace)
        [change] = plan([second], [live], PlanOptions(schemas=schemas))
        after = apply(second, force=True)
        same = after["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
        if not same and visible(after) == visible(live):
            return  # the server has stored a status's defaults, or what others own
        event(f"{how}: {'unchanged' if same else 'updated'}")
        assert (change.action == "unchanged") == same, (change.reasons, second, live, after)
        if lacks_empty_list(second, after):
            after = apply(second, force=True)
        [again] = plan([second], [after], PlanOptions(schemas=schemas))
        assert again.action == "unchanged", (again.reasons, second, after)

    check()
