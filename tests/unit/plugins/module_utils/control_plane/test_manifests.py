# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json

from ansible_collections.meshops.istio.plugins.module_utils.control_plane import manifests
from ansible_collections.meshops.istio.plugins.module_utils.releases.reconcile import RELEASES_OPTION


class Helm:
    """Renders a ConfigMap called like the release, and what its values hold beside it."""

    def template(self, release, *_options):
        meta = {"name": release.name, "namespace": release.namespace}
        own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
        return "\n---\n".join(map(json.dumps, [own, *release.values.get("more", [])]))


def given(name, namespace, **more):
    options = {option: spec.get("default") for option, spec in RELEASES_OPTION["options"].items()}
    return {**options, "name": name, "namespace": namespace, "chart": "c", **more}


def test_the_first_release_of_a_namespace_has_the_namespace():
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "own"}}
    releases = [
        given("a", "shop"),
        given("b", "shop"),
        given("c", "kube-system"),
        given("d", "own"),
        given("e", "own", values={"more": [namespace]}),
    ]
    files = manifests.manifests(Helm(), None, {"releases": releases}, None, [])
    kinds = {name: [line for line in text.splitlines() if line.startswith("kind: ")] for name, text in files.items()}
    assert kinds == {
        "shop.a.yaml": ["kind: Namespace", "kind: ConfigMap"],
        "shop.b.yaml": ["kind: ConfigMap"],
        "kube-system.c.yaml": ["kind: ConfigMap"],
        "own.d.yaml": ["kind: ConfigMap"],
        "own.e.yaml": ["kind: ConfigMap", "kind: Namespace"],
    }
