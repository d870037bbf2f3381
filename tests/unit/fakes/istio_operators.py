# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""IstioOperator objects, and the settings of an operator that reconciles them."""

from __future__ import annotations

import types

from ansible_collections.meshops.istio.extensions.operator.settings import read

SETTINGS = read(
    {
        "POD_NAMESPACE": "istio-operator", "POD_NAME": "one", "WATCH_NAMESPACES": "istio-system",
        "MANAGED_NAMESPACES": "ingress,istio-system", "CHARTS": "/charts", "ISTIO_VERSION": "1.31.0",
    }
)  # fmt: skip


def obj(name="mesh", generation=1, created="2026-01-01T00:00:00Z", status=None, **spec):
    meta = {
        "name": name, "namespace": "istio-system", "uid": name, "generation": generation, "creationTimestamp": created,
    }  # fmt: skip
    found = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "metadata": meta, "spec": spec}
    return {**found, "status": status} if status else found


def release(name, namespace="istio-system", chart="gateway", version="1.31.0"):
    return types.SimpleNamespace(name=name, namespace=namespace, chart=chart, version=version)


def fail_with(error: Exception | None) -> None:
    """Raises what a test has set, if it has."""
    if error is not None:
        raise error
