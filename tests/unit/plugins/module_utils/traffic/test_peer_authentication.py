# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.traffic.peer_authentication import conflicts, exceptions


def policy(name="default", day=2, **spec):
    meta = {"name": name, "namespace": "shop", "creationTimestamp": f"2026-01-0{day}T00:00:00Z"}
    return {"metadata": meta, "spec": spec}


PERMISSIVE, STRICT = {"mode": "PERMISSIVE"}, {"mode": "STRICT"}
OF_WEB = {"matchLabels": {"app": "web"}}


@pytest.mark.parametrize(
    "policies",
    [
        [],
        [policy()],
        [policy(mtls=PERMISSIVE)],
        [policy(), policy("later", 3, mtls=PERMISSIVE)],
        [policy("old", 1, mtls=STRICT), policy()],
        [policy("web", 1, selector=OF_WEB, mtls=PERMISSIVE), policy()],
    ],
    ids=["none", "default", "default to be changed", "a younger one", "an older one that says the same", "one of pods"],
)
def test_default_counts(policies):
    assert conflicts("shop", policies) == []


def test_an_older_one_for_the_whole_namespace_counts_instead():
    (finding,) = conflicts("shop", [policy(), policy("old", 1, mtls=PERMISSIVE)])
    assert finding["reason"] == "older" and finding["name"] == "old"
    assert "is older than default" in finding["message"] and "STRICT, or delete it" in finding["message"]
    (finding,) = conflicts("shop", [policy("only", 1)])
    assert "shop/only counts for all of the namespace" in finding["message"]


def test_a_default_for_some_pods_alone_is_no_default():
    (finding,) = conflicts("shop", [policy(selector=OF_WEB)])
    assert finding["reason"] == "with_selector" and "give it another name" in finding["message"]


def test_what_takes_plain_text_still_is_named():
    web = policy("web", selector=OF_WEB, mtls=STRICT, portLevelMtls={8080: PERMISSIVE, 9000: STRICT})
    legacy = policy("legacy", selector={"matchLabels": {"app": "legacy"}}, mtls={"mode": "DISABLE"})
    unset = policy("unset", selector=OF_WEB, mtls={})
    messages = [each["message"] for each in exceptions([policy(mtls=STRICT), web, legacy, unset])]
    assert messages == [
        'PeerAuthentication shop/web accepts plain text: PERMISSIVE on port 8080 for the pods {"app": "web"}',
        'PeerAuthentication shop/legacy accepts plain text: DISABLE for the pods {"app": "legacy"}',
    ]
