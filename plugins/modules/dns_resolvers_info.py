#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_resolvers_info
short_description: Find DNS resolvers in the network of the nodes
version_added: 0.1.0
author: The meshops.istio authors (@meshops)
description:
  - Finds the DNS resolvers of a cluster that are not pods for a NetworkPolicy, because they run in the network of a
    node. A NetworkPolicy that allows pods only must allow their addresses, too, or no name is resolved.
  - These are NodeLocal DNSCache, found by its DaemonSet in C(kube-system) with the label C(k8s-app=node-local-dns), and
    pods in C(kube-system) with the label C(k8s-app=kube-dns) in the host network.
extends_documentation_fragment:
  - meshops.istio.attributes.info
  - meshops.istio.connection
"""

EXAMPLES = r"""
- name: Find the DNS resolvers that a NetworkPolicy must allow
  meshops.istio.dns_resolvers_info:
  register: resolvers
"""

RETURN = r"""
addresses:
  description: The addresses of the resolvers, sorted.
  returned: success
  type: list
  elements: str
  sample: [10.96.0.10, 169.254.20.10]
unread:
  description: The kinds that the user may not list, so that resolvers may be missing.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.egress.resolvers import find_resolvers


def run(module, cluster):
    resolvers = find_resolvers(cluster)
    warnings = [
        f"Cannot list {kind} in namespace kube-system (Forbidden): DNS resolvers in the nodes' network may be missing."
        " Grant the permission, or set their addresses in egress_dns_addresses of the role egress."
        for kind in resolvers.unread
    ]
    return {"changed": False, "addresses": resolvers.addresses, "unread": resolvers.unread, "warnings": warnings}


def main():
    run_module({}, run)


if __name__ == "__main__":
    main()
