# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The picture of a mesh's certificates; without a cluster."""

from __future__ import annotations

import json

from ansible_collections.meshops.istio.plugins.module_utils.ca import status
from ansible_collections.meshops.istio.plugins.module_utils.ca.present import Present
from ansible_collections.meshops.istio.plugins.module_utils.proxies.proxy import Proxy
from fakes.ca_status import bundle, mesh


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
