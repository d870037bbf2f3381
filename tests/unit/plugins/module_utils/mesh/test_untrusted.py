# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.mesh.untrusted import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc\x1b[31m\x85\u2028\u202e", "a?b?c?[31m???"),
        ("{{ 1/0 }} {% raw %} {# x #} {a}", "{ { 1/0 }} { % raw %} { # x #} {a}"),
        ("é ×", "é ×"),
        ("x" * 2000, "x" * 997 + "..."),
    ],
    ids=["control characters", "templates", "letters", "long"],
)
def test_text_of_others_is_one_plain_line(text, shown):
    assert printable(text) == shown
