# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import doctest

from ansible_collections.meshops.istio.plugins.module_utils.reconcile import wording


def test_wording_examples():
    assert doctest.testmod(wording).failed == 0


def test_listed_counts_what_it_leaves_out():
    assert wording.listed(range(12), most=10) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert wording.listed([]) == ""
    assert wording.listed(["a", "b"], separator="; ") == "a; b"


def test_did_you_mean_is_silent_about_unlike_names():
    assert wording.did_you_mean("xyz", ["default", "ambient"]) == ""
