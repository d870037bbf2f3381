# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real API server with Istio's CRDs and without nodes; MESHOPS_APISERVER names the one to use."""

from __future__ import annotations

import os
import uuid

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN


@pytest.fixture(scope="session")
def api_server(lab) -> dict[str, str]:
    """The environment of the lab's API server: KUBECONFIG, PATH, ..."""
    with lab.api_server(os.environ.get("MESHOPS_APISERVER", "engine")) as environment:
        yield environment


@pytest.fixture(scope="session")
def kubeconfig(api_server) -> str:
    return api_server["KUBECONFIG"]


@pytest.fixture(scope="session")
def cluster(kubeconfig) -> Cluster:
    return Cluster({"kubeconfig": kubeconfig})


@pytest.fixture
def namespace(cluster):
    """A namespace of the test's own; all that is in it goes with it."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete(KNOWN["", "Namespace"], name)
