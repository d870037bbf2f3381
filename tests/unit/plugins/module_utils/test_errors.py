# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The error that a module fails with."""

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def test_an_error_carries_the_result_of_what_was_done():
    assert MeshopsError("no", result={"changed": True}).result == {"changed": True}


def test_an_error_without_a_result_returns_nothing_beside_its_text():
    error = MeshopsError("no")
    assert str(error) == "no"
    assert not error.result
