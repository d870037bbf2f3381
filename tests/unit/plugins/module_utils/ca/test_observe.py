# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read from istiods, and of which namespaces they take care."""

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import observe


@pytest.mark.parametrize(
    ("selectors", "written", "served"),
    [
        ([], (), ["app", "canary", "other"]),
        ([[]], (), ["app", "canary", "other"]),
        ([[{"matchLabels": {"a": "1"}}]], ("other",), ["app"]),
        ([[{"matchLabels": {"a": "1"}}], [{"matchLabels": {"b": "1"}}]], (), []),
        ([[{"matchLabels": {"a": "1"}}], [{"matchLabels": {"b": "1"}}]], ("app", "other"), ["app"]),
        ([[{"matchLabels": {"a": "1"}}], []], ("canary",), ["app", "canary"]),
    ],
)
def test_namespaces_that_istiod_looks_after(selectors, written, served):
    class Namespaces:
        def list(self, _kind):
            labels = {"app": {"a": "1"}, "canary": {"b": "1"}, "other": {}, "kube-public": {"a": "1"}}
            return [{"metadata": {"name": name, "labels": its}, "status": {}} for name, its in labels.items()]

    assert observe.served_namespaces(Namespaces(), selectors, written) == served


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu."}]},
            "it can't be scheduled: 0/1 nodes: Insufficient cpu.",
        ),
        (
            {"containerStatuses": [{"name": "discovery", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "container discovery: ImagePullBackOff",
        ),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}]}, ""),
        ({}, ""),
    ],
)
def test_why_an_istiod_is_not_ready(state, why):
    assert observe.why_not_ready({"status": state}) == why
