# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all playbooks have in common."""

from __future__ import annotations

import pathlib

import pytest
import yaml

PLAYBOOKS = pathlib.Path(__file__).parents[2] / "playbooks"
NEEDS_NO_CLUSTER = {"render.yml"}


@pytest.mark.parametrize(
    "path",
    [p for of in ("*.yml", "examples/**/*.yml") for p in sorted(PLAYBOOKS.glob(of)) if p.name not in NEEDS_NO_CLUSTER],
    ids=lambda path: path.name,
)
def test_every_playbook_finds_its_cluster_the_same_way(path):
    for play in yaml.safe_load(path.read_text()):
        defaults = play["module_defaults"]["group/meshops.istio.mesh"]
        assert defaults["kubeconfig"] == "{{ cluster_kubeconfig | default(omit) }}"
        assert defaults["context"] == "{{ cluster_context | default(omit) }}"
