# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""site.yml on an empty cluster: check mode says beforehand what comes, and changes nothing."""

from __future__ import annotations

import re

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN


def objects(run) -> set[str]:
    """The objects that a run with --diff has shown as new."""
    shown = re.findall(r"^--- before: (.+)\n\+\+\+ after: (.+)\n@@ -0,0", run.text, re.MULTILINE)
    assert all(before == after for before, after in shown)
    return {after for _before, after in shown}


def names(cluster) -> dict[str, set[str]]:
    """What there is of the kinds that a mesh consists of."""
    found = {}
    for group, kind in (
        ("", "Namespace"),
        ("apps", "Deployment"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ):
        listed = [o["metadata"] for o in cluster.list(KNOWN[group, kind])]
        found[kind] = {
            f"{kind} {m['namespace']}/{m['name']}" if "namespace" in m else f"{kind} {m['name']}" for m in listed
        }
    return found


def test_check_mode_tells_what_the_first_run_then_does(own_mesh):
    before = names(own_mesh.cluster)
    looked = own_mesh.play("site", "--check", "--diff")
    assert names(own_mesh.cluster) == before

    done = own_mesh.play("site", "--diff")
    assert objects(looked) == objects(done)
    made = {kind: now - before[kind] for kind, now in names(own_mesh.cluster).items()}
    for kind, created in made.items():
        assert created, kind
        assert created <= objects(looked), kind
    assert own_mesh.play("site").count("changed") == 0
