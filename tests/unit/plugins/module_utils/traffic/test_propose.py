# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.traffic.propose import (
    DENY_ALL,
    LABEL,
    Options,
    allows,
    document,
    is_literal,
    path_fits,
    path_patterns,
    propose,
    rules_for,
)
from hypothesis import given
from hypothesis import strategies as st

CART = "cluster.local/ns/shop/sa/cart"
WEB = "cluster.local/ns/shop/sa/web"


def flow(source=CART, method="GET", path="/", port=8080, **more):
    protocol = "http" if method else "tcp"
    about = {"namespace": "shop", "workload": "stock", "selector": {"app": "stock"}, "address": "", "refused": ""}
    request = {"source": source, "protocol": protocol, "port": port, "method": method, "path": path if method else ""}
    return {**about, **request, "count": 1, **more}


def workload(name="stock", **labels):
    labels = {"app": name, **labels}
    return {"namespace": "shop", "workload": name, "selector": {"app": name}, "labels": labels, "pods": 1}


def specs(proposal):
    return {policy["metadata"]["name"]: policy["spec"] for policy in proposal.policies}


segments = st.text(alphabet="ab1-_.~%*{} é", max_size=4)
paths = st.lists(segments, min_size=0, max_size=4).map(lambda parts: "/" + "/".join(parts))
sources = st.sampled_from([CART, WEB, "td/ns/x/sa/y"])
https = st.builds(flow, sources, st.sampled_from(["GET", "POST"]), paths, st.sampled_from([80, 8080]))
tcps = st.builds(flow, sources, st.just(""), st.just(""), st.sampled_from([9000, 8080]))
traffic = st.lists(st.one_of(https, tcps), max_size=30)


@given(traffic, st.integers(1, 5))
def test_what_was_seen_passes(flows, most):
    rules = rules_for(flows, most)
    assert all(allows(rules, one) for one in flows if is_literal(one))


@given(traffic)
def test_nobody_else_and_no_other_port_passes(flows):
    rules = rules_for(flows)
    for one in flows:
        assert not allows(rules, {**one, "source": "cluster.local/ns/shop/sa/stranger"})
        assert not allows(rules, {**one, "port": 1})
        assert not allows(rules, {**one, "source": ""})


@given(traffic, https)
def test_what_one_caller_does_is_no_permission_for_another(flows, other):
    rules = rules_for([one for one in flows if one["source"] != other["source"]])
    assert not allows(rules, other)


@given(traffic)
def test_the_next_proposal_keeps_what_the_last_one_allows(flows):
    first = propose([workload()], flows)
    again = propose([workload()], flows, first.policies)
    assert again.policies == first.policies
    assert propose([workload()], [], first.policies).policies == first.policies


@given(st.lists(paths, max_size=30))
def test_istio_takes_every_pattern(some):
    """What CheckValidPathTemplate and the validation of AuthorizationPolicy ask for."""
    for pattern in path_patterns([path for path in some if is_literal(flow(path=path))]):
        body = pattern.removesuffix("*") if "{*}" not in pattern else pattern.replace("{*}", "")
        assert "{" not in body and "}" not in body
        if "{*}" in pattern:
            assert not set(pattern.replace("{*}", "")) & set("* é")


def test_paths_stay_as_they_are_until_they_are_too_many():
    assert path_patterns(["/a", "/b/c"]) == ["/a", "/b/c"]
    many = [f"/item/{letter}/price" for letter in "abcdefghijk"]
    assert path_patterns(many[:10]) == sorted(many[:10])
    assert path_patterns(many) == ["/item/{*}/price"]


def test_identifiers_are_generalised_at_once():
    seen = ["/users/12", "/users/7/cart", "/jobs/0e37df36-f698-11e6-8dd4-cb9ced3df976", "/blobs/0123456789abcdef"]
    assert path_patterns(seen) == ["/blobs/{*}", "/jobs/{*}", "/users/{*}", "/users/{*}/cart"]
    assert path_fits("/users/{*}", "/users/99") and not path_fits("/users/{*}", "/users/99/cart")


def test_callers_that_need_the_same_share_a_rule():
    flows = [flow(CART), flow(WEB), flow(WEB, "POST", "/order")]
    (cart, web) = rules_for([*flows, flow(CART, "POST", "/cancel")])
    assert cart["from"] == [{"source": {"principals": [CART]}}] and web["from"] == [{"source": {"principals": [WEB]}}]
    (both,) = rules_for([flow(CART), flow(WEB)])
    assert both == {
        "from": [{"source": {"principals": [CART, WEB]}}],
        "to": [{"operation": {"ports": ["8080"], "methods": ["GET"], "paths": ["/"]}}],
    }


def test_it_starts_from_deny_all_and_adds_what_was_seen():
    proposal = propose([workload(), workload("idle")], [flow(), flow(method="", port=9000)])
    found = specs(proposal)
    assert found[DENY_ALL] == {}
    assert set(found) == {DENY_ALL, "stock-proposed"}
    assert found["stock-proposed"]["selector"] == {"matchLabels": {"app": "stock"}}
    assert found["stock-proposed"]["action"] == "ALLOW"
    assert any("shop/idle: nothing was seen" in finding["message"] for finding in proposal.findings)


def test_plain_text_and_what_is_refused_are_told_and_not_allowed():
    plain = flow(source="", address="10.0.0.9", client="legacy/cron")
    refused, checked = flow(WEB, path="/admin", refused="policy"), flow(WEB, path="/token", refused="check")
    proposal = propose([workload()], [plain, refused, checked])
    assert set(specs(proposal)) == {DENY_ALL}
    assert any("legacy/cron came in plain text" in finding["message"] for finding in proposal.findings)
    assert any("was refused, and remains so: 1 × GET /admin" in finding["message"] for finding in proposal.findings)
    assert not any("/token" in finding["message"] for finding in proposal.findings)
    included = specs(propose([workload()], [plain, refused, checked], options=Options(include_refused=True)))
    (rule,) = included["stock-proposed"]["rules"]
    assert rule["to"] == [{"operation": {"ports": ["8080"], "methods": ["GET"], "paths": ["/admin"]}}]


def policy(name, namespace="shop", labels=None, **spec):
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels or {}}, "spec": spec}


def test_a_workload_with_permissions_of_its_own_is_left_with_them():
    """A permission with a token would be worth nothing beside one without."""
    with_token = policy("token", selector={"matchLabels": {"app": "stock"}}, rules=[{"when": [{"key": "x"}]}])
    proposal = propose([workload()], [flow()], [with_token])
    assert set(specs(proposal)) == {DENY_ALL}
    assert any("keeps its own permissions (shop/token)" in finding["message"] for finding in proposal.findings)
    elsewhere = [
        policy("other", selector={"matchLabels": {"app": "cart"}}, rules=[{}]),
        policy("far", namespace="elsewhere", rules=[{}]),
        policy("denied", action="DENY", rules=[{}]),
        policy("nothing"),
    ]
    assert "stock-proposed" in specs(propose([workload()], [flow()], elsewhere))
    assert "stock-proposed" not in specs(propose([workload()], [flow()], [policy("all", "istio-system", rules=[{}])]))


def test_gateways_stay_open_though_deny_all_counts_for_them():
    door = {**workload("door"), "namespace": "edge"}
    proposal = propose([workload()], [flow()], gateways=[door])
    names = [(p["metadata"]["namespace"], p["metadata"]["name"]) for p in proposal.policies]
    assert names == [("edge", DENY_ALL), ("shop", DENY_ALL), ("shop", "stock-proposed"), ("edge", "door-proposed")]
    assert proposal.policies[-1]["spec"] == {
        "selector": {"matchLabels": {"app": "door"}},
        "action": "ALLOW",
        "rules": [{}],
    }
    assert any("edge/door: this gateway lets everybody in" in finding["message"] for finding in proposal.findings)
    reviewed = {**proposal.policies[-1], "spec": {**proposal.policies[-1]["spec"], "rules": [{"to": []}]}}
    assert propose([], [], [reviewed], gateways=[door]).policies[-1]["spec"]["rules"] == [{"to": []}]
    own = policy("own", "edge", selector={"matchLabels": {"app": "door"}}, rules=[{}])
    assert [p["metadata"]["name"] for p in propose([], [], [own], gateways=[door]).policies] == [DENY_ALL]


def test_every_workload_has_a_policy_of_its_own():
    names = ["a" * 70, "a" * 71, "web", "Web", "web.v1", "web_v1", "é"]
    proposal = propose([workload(name) for name in names], [flow(workload=name) for name in names])
    found = [p["metadata"]["name"] for p in proposal.policies]
    assert len(set(found)) == len(names) + 1 and "web-proposed" in found
    assert all(len(name) <= 63 and name.strip("-") == name for name in found)
    again = propose([workload(name) for name in names[:3]], [], proposal.policies)
    assert {p["metadata"]["name"] for p in again.policies} <= set(found)


def test_the_file_is_yaml_with_what_it_was_made_from():
    proposal = propose([workload()], [flow(path="/a\nkind: Secret"), flow(source="", address="10.0.0.9")])
    text = document(proposal)
    assert list(yaml.safe_load_all(text)) == proposal.policies
    assert (
        f"# Mind: shop/stock: {CART}: 1 × GET /a?kind: Secret on port 8080 has characters" in text
        and "# Mind: shop/stock: 10.0.0.9 came" in text
    )
    assert all(p["metadata"]["labels"] == {LABEL: "true"} for p in proposal.policies)


@given(https, https)
def test_a_caller_gets_no_path_that_it_did_not_request(seen, other):
    """But for another segment behind the first, in the place of an identifier; the path alone differs."""
    other = {**seen, "path": other["path"]}
    first, second = (each["path"].split("/") for each in (seen, other))
    alike = len(first) == len(second) and first[:2] == second[:2]
    if seen["path"] != other["path"] and not alike:
        assert not allows(rules_for([seen]), other)


HOSTILE = [
    {"path": "/{"},
    {"path": "/a{"},
    {"path": "/admin/{id}"},
    {"path": "/a*"},
    {"path": "/*"},
    {"path": "*", "method": "OPTIONS"},
    {"path": "example.com:443", "method": "CONNECT"},
    {"path": "/a", "method": "*"},
    {"path": "/a", "method": "GE*"},
    {"path": "/a", "source": "*"},
    {"path": "/a", "source": "cluster.local/ns/*"},
    {"path": "/a\x1b[2J"},
]


def test_what_a_policy_would_read_as_a_pattern_is_left_out_and_reported():
    for fields in HOSTILE:
        proposal = propose([workload()], [flow(**fields)])
        assert set(specs(proposal)) == {DENY_ALL}, fields
        assert "not_a_literal" in [finding["reason"] for finding in proposal.findings], fields


def test_the_first_segment_is_retained_and_each_pattern_is_reported():
    proposal = propose([workload()], [flow(path="/1"), flow(path="/users/7")])
    (rule,) = specs(proposal)["stock-proposed"]["rules"]
    assert rule["to"][0]["operation"]["paths"] == ["/1", "/users/{*}"]
    (finding,) = [finding for finding in proposal.findings if finding["reason"] == "generalised"]
    assert "/users/{*}" in finding["message"]
    assert path_patterns([f"/{letter}" for letter in "abcdefghijklm"]) == [f"/{letter}" for letter in "abcdefghijklm"]


NASTY = ["{{ 1/0 }}", "{% raw %}", "<script>", "!!python/object:os.system", "../..", "a\n- b: c", "\x1b[2J", "\u202e"]


def test_no_value_of_the_cluster_gets_out_of_its_comment_or_string():
    """Each field that reaches the file, as a caller or a tenant may write it."""
    for text in NASTY:
        flows = [
            flow(path=f"/{text}"),
            flow(method=text),
            flow(source=text),
            flow(source="", address=text, client=text),
            flow(path=f"/{text}", refused="policy"),
            flow(workload=text, path="/x/1"),
        ]
        own = policy(text, selector={"matchLabels": {"app": "cart"}}, rules=[{}])
        proposal = propose([workload(), workload("cart"), workload(text)], flows, [own], [workload(f"{text}-door")])
        written = document(proposal)
        comments = [line for line in written.splitlines() if line.startswith("#")]
        assert list(yaml.safe_load_all(written)) == proposal.policies
        assert not any("{{" in line or "{%" in line or not line.isprintable() for line in comments)
        assert all(finding["message"].isprintable() for finding in proposal.findings)
        assert written.replace("\n", "").isprintable()
