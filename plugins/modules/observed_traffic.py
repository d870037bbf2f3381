#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: observed_traffic
short_description: See who asks the workloads of namespaces for what
version_added: 0.1.0
author: The meshops.istio authors (@meshops)
description:
  - Lets the sidecars of namespaces log what comes in for a while, with the caller's identity, method, path and port,
    reads that, and counts what is alike.
  - They log by an EnvoyFilter C(meshops-observed-traffic) in each namespace, which is gone at the end, also after an
    error. Where a run was killed, the next one takes it out.
  - What stays open counts, too. For that, proxies log requests and connections when they begin and when they end, and
    connections of TCP now and then between. So do their other logs meanwhile, whose C(%ACCESS_LOG_TYPE%) tells these
    lines apart.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes.info
attributes:
  check_mode:
    support: partial
    details:
      - In check mode nothing is logged, so that only workloads, gateways and PeerAuthentications are found.
options:
  namespaces:
    description: The namespaces to look at.
    type: list
    elements: str
    required: true
  seconds:
    description:
      - For how long, from when every sidecar is seen to log. It fails where one doesn't within a minute.
      - Connections that were open before are closed by their proxy within its drain time (45 seconds as Istio sets
        it), and count when they are opened again. So less than a minute may miss them.
      - V(0) watches nothing, and finds workloads, gateways and PeerAuthentications alone.
    type: int
    default: 300
  plain_text_only:
    description: Only see what comes without mTLS, which spares the logs.
    type: bool
    default: false
notes:
  - It needs the right to create and delete EnvoyFilters, to read C(pods/log), and to create C(pods/exec), in the
    namespaces.
  - Putting the log in and taking it out lets long connections end, as every change of what a sidecar does with what
    comes in; clients open new ones.
seealso:
  - module: meshops.istio.policy_proposal
"""

EXAMPLES = r"""
- name: Look for five minutes at who speaks plain text to the shop
  meshops.istio.observed_traffic:
    namespaces: [shop]
    plain_text_only: true
  register: seen

- name: Refuse to go on while somebody does
  ansible.builtin.assert:
    that: not seen.plain_text
"""

RETURN = r"""
workloads:
  description: The running workloads with a sidecar.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: The namespace.
      type: str
    workload:
      description: The name, which is the label C(app), or C(app.kubernetes.io/name), where there is one.
      type: str
    selector:
      description: Labels that find its pods.
      type: dict
    labels:
      description: All labels of one of its pods.
      type: dict
    pods:
      description: How many pods there are.
      type: int
gateways:
  description: The running gateways in the namespaces, which aren't watched, as RV(workloads).
  returned: success
  type: list
  elements: dict
peer_authentications:
  description: What stands against mTLS as a must in the namespaces.
  returned: success
  type: dict
  contains:
    in_the_way:
      description: Why a PeerAuthentication C(default) would not count, and what to do.
      type: list
      elements: str
    exceptions:
      description: What takes plain text still, beside it.
      type: list
      elements: str
flows:
  description: What came in, one entry for all that is alike.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: The namespace of the workload that was asked.
      type: str
    workload:
      description: Its name.
      type: str
    selector:
      description: Labels that find its pods.
      type: dict
    source:
      description: The caller's principal, such as V(cluster.local/ns/shop/sa/cart). Empty where it came in plain text.
      type: str
    address:
      description: The caller's address, where it came in plain text.
      type: str
    client:
      description: The pod with that address, as V(namespace/name).
      type: str
      returned: where it came in plain text
    text:
      description: All of this in a line.
      type: str
      returned: where it came in plain text
    protocol:
      description: V(http), or V(tcp) for a connection that the proxy sees no requests in.
      type: str
    port:
      description: The port of the pod.
      type: int
    method:
      description: The method of the requests.
      type: str
    path:
      description: The path, without the query.
      type: str
    refused:
      description:
        - Empty, or who refused it, V(policy) for an AuthorizationPolicy, V(check) for a token or an external check.
      type: str
    count:
      description: How many requests, or connections.
      type: int
plain_text:
  description: Of RV(flows), those that came in plain text.
  returned: success
  type: list
  elements: dict
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.traffic import peer_authentication as peer_authentications
from ansible_collections.meshops.istio.plugins.module_utils.traffic.observe import observe

ARGUMENT_SPEC = {
    "namespaces": {"type": "list", "elements": "str", "required": True},
    "seconds": {"type": "int", "default": 300},
    "plain_text_only": {"type": "bool", "default": False},
}


def run(module, cluster):
    params = module.params
    if module.check_mode and params["seconds"]:
        module.warn("check mode: nothing was watched")
    kind = KNOWN["security.istio.io", "PeerAuthentication"]
    policies = {namespace: cluster.list(kind, namespace) for namespace in params["namespaces"]}
    stands = {
        "in_the_way": [text for one in policies for text in peer_authentications.in_the_way(one, policies[one])],
        "exceptions": [text for some in policies.values() for text in peer_authentications.exceptions(some)],
    }
    seen = observe(cluster, params["namespaces"], params["seconds"], params["plain_text_only"], module.check_mode)
    return {"changed": False, "peer_authentications": stands, **seen}


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
