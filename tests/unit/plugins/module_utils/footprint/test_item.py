# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Items, evidence, and what results say of them."""

from __future__ import annotations

import doctest

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.footprint import evidence, footprint, item, revision
from ansible_collections.meshops.istio.plugins.module_utils.purge import backup_folder, order, site


@pytest.mark.parametrize("module", [item, evidence, footprint, revision, order, site, backup_folder])
def test_the_examples_of_docstrings(module):
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


def test_a_report_has_a_code_beside_each_sentence():
    why = (item.Evidence(item.Reason.API_GROUP, "networking.istio.io"), item.Evidence(item.Reason.SIDECAR))
    keys = (item.Key(item.Scope.TEMPLATE_LABEL, "sidecar.istio.io/inject"),)
    shown = item.Item("sidecars", "restart", "apps/v1", "Deployment", "shop", "web", why, keys, uid="u").report()
    assert shown == {
        "part": "sidecars",
        "action": "restart",
        "api_version": "apps/v1",
        "kind": "Deployment",
        "namespace": "shop",
        "name": "web",
        "why": ["API group networking.istio.io", "pods carry a sidecar"],
        "reasons": ["ApiGroup", "Sidecar"],
        "keys": [{"scope": "template label", "name": "sidecar.istio.io/inject"}],
    }
