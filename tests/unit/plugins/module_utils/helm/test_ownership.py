# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.helm.ownership import (
    in_release,
    is_kept,
    is_proven,
    release_of,
)
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release


def test_release_of_needs_both_annotations():
    obj = {"kind": "Service", "metadata": {"name": "s"}}
    assert release_of(obj) is None
    assert release_of({"metadata": {"annotations": {"meta.helm.sh/release-name": "r"}}}) is None
    assert release_of(in_release(obj, Release("r", "c", "n"))) == ("n", "r")
    assert obj == {"kind": "Service", "metadata": {"name": "s"}}


def test_ownership_is_proven_by_annotations_and_label():
    obj = in_release({"kind": "Service", "metadata": {"name": "s"}}, Release("r", "c", "n"))
    assert is_proven(obj, "n", "r")
    assert not is_proven(obj, "other", "r")
    del obj["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    assert not is_proven(obj, "n", "r")


def test_resource_policy_keep():
    assert is_kept({"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}})
    assert not is_kept({"metadata": {}})
