# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import subprocess
import sys

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.helm import post_renderer


@pytest.mark.parametrize(
    ("stdin", "hooks"),
    [
        ("", ""),
        ("---\nkind: ConfigMap\ndata: {a: helm.sh/hook}\n", ""),
        (
            "---\nkind: Job\nmetadata:\n  annotations:\n    helm.sh/hook: test\n---\nkind: Service\n",
            "---\nkind: Job\nmetadata:\n  annotations:\n    helm.sh/hook: test\n",
        ),
    ],
)
def test_hooks_are_passed_on_before_the_planned_manifest(tmp_path, stdin, hooks):
    (tmp_path / "manifest").write_text("kind: Planned\n")
    done = subprocess.run(
        [sys.executable, "-c", post_renderer.SCRIPT],
        input=stdin,
        env={post_renderer.MANIFEST_VARIABLE: str(tmp_path / "manifest")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == hooks + "kind: Planned\n"


def test_plugin_is_json():
    assert json.loads(post_renderer.plugin())["name"] == post_renderer.NAME
