# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names that Istio uses: API groups, labels, kinds."""

from __future__ import annotations

#: Secrets of istiod's CA. The last two exist while a CA is rotated, and hold keys.
CA_SECRETS = ("cacerts", "istio-ca-secret", "cacerts-next", "cacerts-previous")
#: Workloads whose injected pods a rolling restart replaces.
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
GATEWAY_API = "gateway.networking.k8s.io"


def istio_group(group: str) -> bool:
    """Whether an API group is Istio's or the Sail operator's."""
    return group in ("istio.io", "sailoperator.io") or group.endswith((".istio.io", ".sailoperator.io"))


def istio_key(key: str) -> bool:
    """Whether a label, annotation or taint key is Istio's: C(istio-injection), or in the domain istio.io."""
    return key == "istio-injection" or ("/" in key and istio_group(key.partition("/")[0]))


def istio_finalizer(finalizer: str) -> bool:
    """Whether only Istio or one of its operators removes a finalizer."""
    return istio_group(finalizer.partition("/")[0])


def gateway_api(group: str, kind: str) -> bool:
    """Whether users write objects of this kind for the Gateway API."""
    return group == GATEWAY_API and (kind == "Gateway" or kind.endswith("Route"))
