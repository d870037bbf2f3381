# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two settings of istiod under which its CA behaves otherwise: USE_CACERTS_FOR_SELF_SIGNED_CA, and no
ISTIO_MULTIROOT_MESH. The stories build on each other.
"""

from __future__ import annotations

import json

import ca_mesh
import pytest


@pytest.fixture(scope="module")
def story(own_cluster, tmp_path_factory):
    env = {**ca_mesh.ISTIOD["env"], "USE_CACERTS_FOR_SELF_SIGNED_CA": "true"}
    story = ca_mesh.Mesh(tmp_path_factory.mktemp("ca"), {"env": env})
    story.install()
    return story


def roots(found):
    return [root["fingerprint"] for root in found["roots"]]


def test_back_to_the_ca_that_istiod_keeps_in_cacerts(story):
    """The secret that istiod made holds again all that it held, and istiod finds its CA there when it starts."""
    before, old = ca_mesh.get("secret", "cacerts", "-n", "istio-system")["data"], story.status()
    assert ("istio-generated" in before, old["source"]) == (True, "self-signed")
    story.run_until("sign", "rotate")
    story.role("rotate", ca_rotation_abort=True)
    assert ca_mesh.get("secret", "cacerts", "-n", "istio-system")["data"] == before
    ca_mesh.kubectl("rollout", "restart", "deployment/istiod", "-n", "istio-system")
    ca_mesh.kubectl("rollout", "status", "deployment/istiod", "-n", "istio-system", "--timeout=300s")
    assert ca_mesh.get("secret", "cacerts", "-n", "istio-system")["data"] == before
    ca_mesh.kubectl("delete", "pod", "-n", "app", "-l", "app=client")
    ca_mesh.kubectl("rollout", "status", "deployment/client", "-n", "app", "--timeout=180s")
    new = story.status()
    assert (new["source"], roots(new)) == ("self-signed", roots(old))
    assert {leaf["issuer"] for leaf in new["leaves"]} == {leaf["issuer"] for leaf in old["leaves"]}


def test_a_renewal_without_istio_multiroot_mesh(story):
    """Nothing is restarted; running proxies keep their leaf, and those that start get one of the new intermediate."""
    place = str(story.folder / "root")
    story.role("install", ca_root_dir=place)
    ca_mesh.kubectl("set", "env", "deployment/istiod", "-n", "istio-system", "ISTIO_MULTIROOT_MESH=false")
    ca_mesh.kubectl("rollout", "status", "deployment/istiod", "-n", "istio-system", "--timeout=300s")
    ca_mesh.wait_for(lambda: len(ca_mesh.get("pods", "-n", "istio-system", "-l", "app=istiod")["items"]) == 1)
    old, before = story.status(), {pod["metadata"]["uid"] for pod in ca_mesh.get("pods", "-A")["items"]}
    assert "without ISTIO_MULTIROOT_MESH" in story.role("rotate", fails=True)
    assert "leaves follow as each expires" in story.role("renew", "-v", ca_root_dir=place)
    assert {pod["metadata"]["uid"] for pod in ca_mesh.get("pods", "-A")["items"]} == before
    ca_mesh.kubectl("delete", "pod", "-n", "app", "-l", "app=client")
    ca_mesh.kubectl("rollout", "status", "deployment/client", "-n", "app", "--timeout=180s")
    new = story.status()
    assert roots(new) == roots(old)
    (signer,) = {leaf["issuer"] for leaf in old["leaves"]}
    issuers = {leaf["issuer"] for leaf in new["leaves"]}
    assert issuers == {signer, next(each["subject"] for each in new["intermediates"] if each["signs"])}
    ask = ("probe", "get", "-n", "20", "http://echo-new.app/")
    told = json.loads(ca_mesh.kubectl("exec", "-n", "app", "deployment/client", "-c", "client", "--", *ask))
    assert told["statuses"] == {"200": 20}
