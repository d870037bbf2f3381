#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every proxy holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: proxies_info
short_description: What every proxy of an Istio mesh holds
version_added: 0.1.0
author: The meshops.istio authors (@meshops)
description:
  - Reads every sidecar, gateway and waypoint at its own admin interface, many at once, and gives its version, how far
    it has taken its configuration, the roots that it trusts and its certificate chain.
options:
  namespaces:
    description: Only the proxies in these namespaces; every namespace where this is left out.
    type: list
    elements: str
    default: []
  sync:
    description: Also ask every istiod how far each proxy has taken its configuration.
    type: bool
    default: true
  concurrency:
    description: How many proxies are read at once.
    type: int
    default: 16
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes.info
requirements:
  - cryptography >= 42
notes:
  - It runs C(pilot-agent) in the proxies' containers, for which it needs the right to create C(pods/exec).
seealso:
  - module: meshops.istio.ca_rotation
"""

EXAMPLES = r"""
- name: Read every proxy
  meshops.istio.proxies_info:
  register: mesh

- name: Every gateway has taken its listeners
  ansible.builtin.assert:
    that: mesh.proxies | selectattr('kind', 'eq', 'gateway') | map(attribute='sync.listener') | unique == ['synced']
"""

RETURN = r"""
proxies:
  description: One entry a proxy, sorted by namespace and pod.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: The pod's namespace.
      type: str
    pod:
      description: The pod's name.
      type: str
    kind:
      description: V(sidecar), V(gateway), V(waypoint) or V(ztunnel).
      type: str
    owner:
      description: What made the pod, such as C(Deployment/web); empty for a bare pod.
      type: str
    revision:
      description: The control plane's revision.
      type: str
    version:
      description: The proxy's version as istiod knows it, or the tag of its image.
      type: str
    running:
      description: Whether its container runs; of one that doesn't, nothing else is known.
      type: bool
    ready:
      description: Whether the pod is ready.
      type: bool
    takes_new_roots:
      description: Whether it takes new roots while it runs (C(PROXY_CONFIG_XDS_AGENT)).
      type: bool
    sync:
      description:
        - Of C(cluster), C(listener), C(route) and C(endpoint), V(synced), V(stale) or V(not sent); null where no istiod
          knows the proxy.
      type: dict
    roots:
      description: The roots that it trusts, with subject, fingerprint and validity.
      type: list
      elements: dict
    chain:
      description: Its leaf and what follows, each with subject, issuer, fingerprint, validity and identity.
      type: list
      elements: dict
    mounted_roots:
      description: Fingerprints in the file by which it knows istiod; null where it could not be read.
      type: list
      elements: str
    error:
      description: Why it could not be read; empty where it could.
      type: str
"""

import datetime

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.proxies.report import read_all


def main() -> None:
    run_module(
        {
            "namespaces": {"type": "list", "elements": "str", "default": []},
            "sync": {"type": "bool", "default": True},
            "concurrency": {"type": "int", "default": 16},
        },
        lambda module, cluster: {
            "changed": False,
            "proxies": read_all(
                cluster,
                module.params["namespaces"],
                sync=module.params["sync"],
                now=datetime.datetime.now(datetime.timezone.utc),
            ),
        },
        concurrency=lambda params: params["concurrency"],
    )


if __name__ == "__main__":
    main()
