# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release, merged


def test_values_are_merged_as_helm_merges_them():
    assert merged({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": 1}, None) == {"a": {"b": 1, "c": [3]}, "d": 1}


def test_release_is_plain_without_changes():
    assert Release("r", "c", "n").is_plain
    assert not Release("r", "c", "n", labels={"a": "b"}).is_plain
    assert Release("r", "c", "n").id == ("n", "r")
