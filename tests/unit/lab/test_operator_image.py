# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes into the operator's image."""

from __future__ import annotations

import pathlib
import sys

LAB = pathlib.Path(__file__).parents[2] / "lab"
sys.path.insert(0, str(LAB))


def test_the_collection_is_in_it_and_nothing_that_is_not_shipped():
    import operator_image

    inside = operator_image.collection()
    home = f"/{operator_image.COLLECTIONS}/meshops/istio"
    assert f"{home}/extensions/operator/__main__.py" in inside
    assert f"{home}/plugins/modules/control_plane.py" in inside
    assert not [path for path in inside if "/tests/" in path or "__pycache__" in path]


def test_its_packages_are_those_that_the_collection_is_tested_with():
    import operator_image

    named = {line.partition("==")[0] for line in operator_image.pinned()}
    assert named == {*operator_image.PACKAGES, "ansible"}
