# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read from pods and proxies, and how it is shown."""

from __future__ import annotations

import base64
import datetime
import functools
import json
import re
from xml.etree import ElementTree

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import authority, observe, report, status
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import Istiod
from ansible_collections.meshops.istio.plugins.module_utils.ca.present import Present
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.proxies import read, sync
from ansible_collections.meshops.istio.plugins.module_utils.proxies import report as proxies
from ansible_collections.meshops.istio.plugins.module_utils.proxies.proxy import Proxy

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


@functools.cache
def bundle(days=400):
    return authority.generated(authority.CaSpec(intermediate_days=days), NOW)


def dump(encode):
    return json.dumps(
        {
            "configs": [
                {"name": "ROOTCA", "secret": {"validation_context": {"trusted_ca": encode(bundle().roots)}}},
                {"name": "default", "secret": {"tls_certificate": {"certificate_chain": encode(bundle().chain)}}},
                {"name": "kubernetes://other", "secret": {"tls_certificate": {}}},
            ]
        }
    )


@pytest.mark.parametrize(
    "encode",
    [lambda text: {"inline_bytes": base64.b64encode(text.encode()).decode()}, lambda text: {"inline_string": text}],
)
def test_what_a_proxy_answers(encode):
    held = read.held_by_proxy(f"{dump(encode)}\n--- root-cert.pem\n# comment\n{bundle().roots}")
    assert held["roots"] == held["mounted"] == {bundle().root.fingerprint}
    assert held["chain"] == (bundle().signer, bundle().root)


def test_a_proxy_without_certificates_or_without_a_shell():
    assert read.held_by_proxy('{"configs": []}') == {"mounted": None}


@pytest.mark.parametrize(
    ("selectors", "written", "served"),
    [
        ([], (), ["app", "canary", "other"]),
        ([[]], (), ["app", "canary", "other"]),
        ([[{"matchLabels": {"a": "1"}}]], ("other",), ["app"]),
        ([[{"matchLabels": {"a": "1"}}], [{"matchLabels": {"b": "1"}}]], (), []),
        ([[{"matchLabels": {"a": "1"}}], [{"matchLabels": {"b": "1"}}]], ("app", "other"), ["app"]),
        ([[{"matchLabels": {"a": "1"}}], []], ("canary",), ["app", "canary"]),
    ],
)
def test_namespaces_that_istiod_looks_after(selectors, written, served):
    class Namespaces:
        def list(self, _kind):
            labels = {"app": {"a": "1"}, "canary": {"b": "1"}, "other": {}, "kube-public": {"a": "1"}}
            return [{"metadata": {"name": name, "labels": its}, "status": {}} for name, its in labels.items()]

    assert observe.served_namespaces(Namespaces(), selectors, written) == served


def test_proxies_of_some_namespaces_are_listed_there_alone():
    asked = []

    class Pods:
        concurrency = 1

        def list(self, _kind, namespace=None):
            asked.append(namespace)
            return []

    for namespaces in (["b", "a", "b"], []):
        assert proxies.read_all(Pods(), namespaces, sync=False, now=NOW) == []
    assert asked == ["b", "a", None]


def test_sync_states():
    state = {"cluster_sent": "1", "cluster_acked": "1", "listener_sent": "2", "listener_acked": "1"}
    assert sync.sync_of(state) == {
        "cluster": "synced",
        "listener": "stale",
        "route": "not sent",
        "endpoint": "not sent",
    }
    assert sync.sync_of(None) is None


def mesh(days=400):
    held = bundle(days)
    proxy = Proxy("app", "web", roots=frozenset({held.root.fingerprint}), root_certificates=held.trusted,
                  chain=(held.signer, held.signer, held.root))  # fmt: skip
    lost = Proxy("app", "lost", error="<refused>")
    return status.summary(
        Present(held, plugged=True), status.Observed([Istiod("istio-system", "d")], [proxy, lost]), NOW, 60
    )


def test_status_tells_who_holds_what():
    found = mesh()
    assert [(row["signs"], row["proxies"]) for row in found["roots"]] == [(False, ["app/web"])]
    assert [(row["signs"], row["held_by"]) for row in found["intermediates"]] == [(True, 1)]
    assert found["warnings"] == ["proxy app/lost can't be read: <refused>"]
    assert "PRIVATE" not in json.dumps(found)


def test_status_warns_before_something_expires():
    assert "renew the intermediate" in mesh(59)["warnings"][0]
    life = bundle().signer.not_after - bundle().signer.not_before
    for left, words in ((0.26, []), (0.24, ["should have been renewed at half"]), (-0.1, ["has expired on"])):
        proxy, moment = Proxy("app", "web", chain=(bundle().signer,)), bundle().signer.not_after - left * life
        found = status.summary(Present(None), status.Observed([], [proxy]), moment, 0)["warnings"]
        leaves = [each for each in found if "the leaf of app/web" in each]
        assert len(leaves) == len(words)
        assert all(word in leaf for word, leaf in zip(words, leaves, strict=True))


def test_the_report_is_one_well_formed_page_with_a_bar_for_each_span():
    page = report.page(mesh(), NOW + datetime.timedelta(days=30))
    picture = ElementTree.fromstring(re.search(r"<svg.*</svg>", page).group())
    bars = picture.findall("rect")
    assert len(bars) == 3
    root, intermediate, _leaves = (float(each.get("width")) for each in bars)
    assert root / intermediate == pytest.approx(3650 / 400, rel=0.01)
    for head in ("Issuer", "SHA-256", "From", "Days left"):
        assert page.count(f"<th>{head}</th>") == 3
    assert "&lt;refused&gt;" in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu."}]},
            "it can't be scheduled: 0/1 nodes: Insufficient cpu.",
        ),
        (
            {"containerStatuses": [{"name": "discovery", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "container discovery: ImagePullBackOff",
        ),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}]}, ""),
        ({}, ""),
    ],
)
def test_why_an_istiod_is_not_ready(state, why):
    assert observe.why_not_ready({"status": state}) == why


def test_a_report_is_not_written_through_a_symbolic_link(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "ca.html").symlink_to(target)
    with pytest.raises(MeshopsError, match="symbolic link"):
        report.refuse_unwritable(str(tmp_path / "ca.html"))
    report.write_report(str(tmp_path / "ca.html"), mesh())  # put there after the check
    assert target.read_text() == "mine"
    assert (tmp_path / "ca.html").read_text().startswith("<!DOCTYPE html>")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["ca.html", "target"]
