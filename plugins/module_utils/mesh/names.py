# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names that Istio uses: API groups, labels, kinds."""

from __future__ import annotations

#: The last two are there while a CA is rotated, and hold keys.
CA_SECRETS = ("cacerts", "istio-ca-secret", "cacerts-next", "cacerts-previous")
#: Injected pods of these can be replaced by a rolling restart of their owner.
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
_GATEWAY_API = "gateway.networking.k8s.io"


# -- reading ----------------------------------------------------------------


def istio_group(group: str) -> bool:
    """Whether an API group is Istio's or the Sail operator's."""
    return group in ("istio.io", "sailoperator.io") or group.endswith((".istio.io", ".sailoperator.io"))


def istio_key(key: str) -> bool:
    """Whether a label, annotation or taint key is Istio's: C(istio-injection), or in the domain istio.io."""
    return key == "istio-injection" or ("/" in key and istio_group(key.partition("/")[0]))


def istio_finalizer(finalizer: str) -> bool:
    """Whether a finalizer waits for an Istio operator."""
    return istio_group(finalizer.partition("/")[0])


def gateway_api(group: str, kind: str) -> bool:
    """Whether a kind is one of those that users write for the Gateway API."""
    return group == _GATEWAY_API and (kind == "Gateway" or kind.endswith("Route"))
