#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: observed_traffic
short_description: Observe which clients call the workloads of namespaces
version_added: 0.1.0
author: The meshops.istio authors (@meshops)
description:
  - Lets the sidecars of namespaces log what comes in for a while, with the caller's identity, method, path (without the
    query) and port, reads these logs, and counts equal requests.
  - The sidecars log by an EnvoyFilter C(meshops-observed-traffic-...) in each namespace, which each run has for itself
    and deletes at the end, also after an error. Where a run was killed, a later one deletes its EnvoyFilter.
  - Requests and connections that stay open count, too. For that, proxies log them when they begin and end, and TCP
    connections in between. So do their other logs meanwhile, whose C(%ACCESS_LOG_TYPE%) tells these lines apart.
  - Fails where a sidecar does not log, at the beginning or at the end, or where the EnvoyFilter is changed meanwhile.
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
    description: The namespaces to observe.
    type: list
    elements: str
    required: true
  seconds:
    description:
      - For how many seconds to observe, from when every sidecar logs. It fails where one does not within a minute.
      - Connections that were open before are closed by their proxy within its drain time (45 seconds as Istio sets
        it), and count when they are opened again. So less than a minute may miss them.
      - V(0) observes nothing, and finds workloads, gateways and PeerAuthentications alone.
    type: int
    default: 300
  plain_text_only:
    description: Observe only traffic without mTLS, which keeps the logs small.
    type: bool
    default: false
  without_sidecar:
    description:
      - Workloads, as C(namespace/name), whose pods may run without a sidecar, and are no gap in RV(gaps).
      - Pods in ambient mode are a gap nevertheless.
    type: list
    elements: str
    default: []
notes:
  - Required permissions in the namespaces are get, list, create, patch and delete of EnvoyFilters, list of pods, get of
    C(pods/log), create of C(pods/exec), and get of the Namespace (optional, for its ambient label).
  - Each change of what a sidecar does with inbound traffic, such as adding and removing this log, lets long connections
    end; clients open new ones.
seealso:
  - module: meshops.istio.policy_proposal
"""

EXAMPLES = r"""
- name: Observe for five minutes which clients send plain text to the shop
  meshops.istio.observed_traffic:
    namespaces: [shop]
    plain_text_only: true
  register: seen

- name: Fail while a client does, or while something can't be observed
  ansible.builtin.assert:
    that: not seen.plain_text and not seen.gaps
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
  description: PeerAuthentications that a strict C(default) would not override in the namespaces.
  returned: success
  type: dict
  contains:
    conflicts:
      description:
        - Why a PeerAuthentication C(default) would have no effect, each with C(reason) (V(older), V(with_selector)),
          C(namespace), C(name) and C(message), which says what to do.
      type: list
      elements: dict
    exceptions:
      description:
        - What accepts plain text beside it, each with C(reason) (V(accepts_plain_text)), C(namespace), C(name) and
          C(message).
      type: list
      elements: dict
gaps:
  description: What can't be observed in the namespaces. No traffic seen there proves nothing.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: The namespace.
      type: str
    workload:
      description: The workload of the pod, as C(namespace/name).
      type: str
    pod:
      description: The pod, empty for a gap of the whole namespace.
      type: str
    reason:
      description:
        - V(ambient), V(no_sidecar), V(no_workloads) (no running pod has a sidecar), or V(not_observed) (O(seconds=0)).
      type: str
    message:
      description: All of this in a sentence, with the remedy.
      type: str
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
from ansible_collections.meshops.istio.plugins.module_utils.traffic.observe import Options, observe

ARGUMENT_SPEC = {
    "namespaces": {"type": "list", "elements": "str", "required": True},
    "seconds": {"type": "int", "default": 300},
    "plain_text_only": {"type": "bool", "default": False},
    "without_sidecar": {"type": "list", "elements": "str", "default": []},
}


def run(module, cluster):
    params = module.params
    if module.check_mode and params["seconds"]:
        module.warn("Check mode: nothing was observed")
    kind = KNOWN["security.istio.io", "PeerAuthentication"]
    policies = {namespace: cluster.list(kind, namespace) for namespace in params["namespaces"]}
    beside = {
        "conflicts": [each for name in policies for each in peer_authentications.conflicts(name, policies[name])],
        "exceptions": [each for some in policies.values() for each in peer_authentications.exceptions(some)],
    }
    options = Options(
        namespaces=tuple(params["namespaces"]),
        seconds=params["seconds"],
        plain_text_only=params["plain_text_only"],
        without_sidecar=tuple(params["without_sidecar"]),
    )
    observation = observe(cluster, options, check_mode=module.check_mode)
    return {"changed": False, "peer_authentications": beside, **observation}


def main():
    run_module(ARGUMENT_SPEC, run)


if __name__ == "__main__":
    main()
