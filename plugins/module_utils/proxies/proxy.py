# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A proxy and what it holds."""

from __future__ import annotations

import dataclasses
import datetime

from ..mesh.certificates import Certificate


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A pod's proxy and what it holds.

    :ivar kind: sidecar, gateway, waypoint or ztunnel
    :ivar owner: kind and name of what made the pod, such as C(Deployment/web); empty for a bare pod
    :ivar push: whether it takes new roots while it runs (PROXY_CONFIG_XDS_AGENT)
    :ivar running: whether its container runs; one that doesn't holds nothing and starts with what is valid then
    :ivar generation: changes when the pod or its proxy starts again
    :ivar roots: fingerprints it trusts (ROOTCA), None where unread
    :ivar chain: its leaf and what follows
    :ivar mounted: fingerprints in its mounted root-cert.pem, by which it reaches istiod; None where unread
    :ivar control_plane: the namespace of the istiod from which it has its certificate; empty where that is unknown
    :ivar error: why it could not be read
    """

    namespace: str
    pod: str
    kind: str = "sidecar"
    control_plane: str = ""
    owner: str = ""
    revision: str = ""
    version: str = ""
    push: bool = True
    running: bool = True
    ready: bool = True
    generation: str = ""
    roots: frozenset[str] | None = None
    root_certificates: tuple[Certificate, ...] = ()
    chain: tuple[Certificate, ...] = ()
    mounted: frozenset[str] | None = None
    error: str = ""
    started: datetime.datetime | None = None

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.pod}"
