#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_injection
short_description: Put delays and aborts into a mesh, measure them, and take them out
version_added: 0.1.0
author: The meshops.istio authors (@meshops)
description:
  - Makes the clients of a host meet delays and errors, with Istio's own fault injection.
  - The routes that are in the host's VirtualService stay as they are. A copy that carries the fault is put in front
    of each route that the fault fits, and taken away later. A host without a VirtualService gets one for as long as
    the faults are there.
  - When the faults are out, the VirtualService is what it was, with labels, annotations and field owners.
    What others have changed in it meanwhile stays.
  - Optionally measures, by requests that a pod sends through its own proxy, after that proxy has followed the change.
extends_documentation_fragment:
  - meshops.istio.attributes
  - meshops.istio.connection
attributes:
  idempotent:
    support: partial
    details:
      - With O(duration), each run starts the time anew, which is a change.
options:
  hostname:
    description:
      - The host whose clients are to meet the fault. V(echo) is the Service in O(namespace), V(echo.demo) and
        V(echo.demo.svc.cluster.local) are the Service in namespace C(demo), anything else is a ServiceEntry's host.
      - Required with O(state=present). With O(state=absent), all faults go where it isn't given.
    type: str
  namespace:
    description:
      - The namespace of O(hostname) and O(virtual_service) where they have none of their own.
      - Without O(hostname), faults are taken out of this namespace, or out of all where it isn't given either.
    type: str
  state:
    description:
      - V(present) makes the faults of the host these ones.
      - V(absent) takes out every fault that was put in with this module.
    type: str
    choices: [present, absent]
    default: present
  delay:
    description:
      - How long requests are held back, such as V(2s).
      - "Or a dictionary as in Istio's documentation, such as C({fixedDelay: 2s, percentage: {value: 50}})."
    type: raw
  abort:
    description:
      - The HTTP status that requests are answered with, such as V(503).
      - "Or a dictionary as in Istio's documentation, such as C({grpcStatus: UNAVAILABLE, percentage: {value: 50}})."
      - "V(close), or C({close: true, percentage: {value: 50}}), closes connections of TCP, and of TLS that is routed as
        it is, as soon as they are open."
    type: raw
  match:
    description:
      - Which requests meet the fault, one or more of Istio's HTTPMatchRequest. A request meets it where one
        of them fits and the route fits, too. To close connections, it is C(port), C(sourceLabels), C(sourceNamespace),
        C(destinationSubnets) and C(gateways).
    type: list
    elements: dict
  faults:
    description:
      - Several faults at once, instead of O(delay), O(abort) and O(match). Where several fit a request, the first
        counts.
    type: list
    elements: dict
    suboptions:
      delay:
        description: See O(delay).
        type: raw
      abort:
        description: See O(abort).
        type: raw
      match:
        description: See O(match).
        type: list
        elements: dict
  virtual_service:
    description:
      - Which VirtualService to put the faults into, as C(name) or C(namespace/name).
      - Needed where several route the host, or one with a wildcard does, or one that a gateway alone follows.
    type: str
  duration:
    description:
      - How long the faults stay, such as V(10m). A Job in the cluster takes them out then, also when nobody is there to
        do it any more. The faults are put in only after that Job's pod has reached the API server, for which a
        NetworkPolicy lets it out of the namespace.
      - Without it, they stay until O(state=absent), also those that had a limit before.
    type: str
  image:
    description:
      - The image of that Job. It needs C(sh), C(date), C(sleep), C(cat) and C(curl).
      - The proxy image of the mesh's own pods, where it isn't given.
    type: str
  domain:
    description:
      - The cluster's DNS domain.
    type: str
    default: cluster.local
  measure:
    description:
      - Requests to send from inside the mesh, after the change has reached the proxy that sends them.
    type: list
    elements: dict
    suboptions:
      url:
        description:
          - Where to, such as V(http://echo/), V(grpc://echo:8081) or V(tcp://echo:9000). The latter two are calls of,
            and connections to, the echo server of C(charts/probe), which C(probe) makes one after the other.
        type: str
        required: true
      namespace:
        description: The namespace of the pod that sends them, O(namespace) where it isn't given.
        type: str
      selector:
        description: The labels of the pod that sends them. It needs a sidecar.
        type: str
        default: app=client
      container:
        description: The container to run the tool in, the first beside the proxy where it isn't given.
        type: str
      tool:
        description:
          - What sends the requests. V(probe) is the program in the image of C(charts/probe), V(curl) needs C(sh), too.
          - V(auto) takes C(probe), and C(curl) where the container has no C(probe).
        type: str
        choices: [auto, probe, curl]
        default: auto
      requests:
        description: How many requests.
        type: int
        default: 20
      parallel:
        description: How many at once, with C(probe).
        type: int
        default: 5
      headers:
        description: Headers of the requests.
        type: dict
      fault:
        description:
          - Which of O(faults) these requests are meant to meet, counted from 1; V(0) means none. Only repeated in
            RV(measured), for who judges it, such as the filter P(meshops.istio.fault_report#filter).
        type: int
        default: 1
  wait_timeout:
    description:
      - How many seconds the proxies that measure may take to follow the change.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Hold back every second request to echo by two seconds, for ten minutes at most
  meshops.istio.fault_injection:
    hostname: echo
    namespace: demo
    delay: {fixedDelay: 2s, percentage: {value: 50}}
    duration: 10m

- name: Let the requests of one test user fail, and look at it from the client
  meshops.istio.fault_injection:
    hostname: echo
    namespace: demo
    abort: 503
    match:
      - headers: {x-user: {exact: tester}}
    measure:
      - url: http://echo/
        headers: {x-user: tester}
      - url: http://echo/
  register: during

- name: Take the faults of this host out
  meshops.istio.fault_injection:
    hostname: echo
    namespace: demo
    state: absent

- name: Take all faults out, of all namespaces
  meshops.istio.fault_injection:
    state: absent
"""

RETURN = r"""
virtual_services:
  description: The VirtualServices that were looked at, and what was done with each.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Its namespace.
      type: str
    name:
      description: Its name.
      type: str
    changed:
      description: Whether it was changed, created or deleted.
      type: bool
    routes:
      description: The names of the routes that carry faults now. Proxies log them as the route's name.
      type: list
      elements: str
faults:
  description: The faults that are in now, as Istio writes them.
  returned: O(state=present)
  type: list
  elements: dict
measured:
  description: What came of O(measure), one entry each.
  returned: O(measure) is given, and not in check mode
  type: list
  elements: dict
  contains:
    url:
      description: Where the requests went.
      type: str
    fault:
      description: Which fault they were meant to meet, O(measure[].fault).
      type: int
    requests:
      description: How many were sent.
      type: int
    statuses:
      description: How many had each HTTP status.
      type: dict
    errors:
      description: How many had no answer, or a gRPC status that isn't OK, by what happened instead.
      type: dict
    versions:
      description: How many were answered by each version of the echo server.
      type: dict
    latency_ms:
      description: The smallest, mean and largest latency and its percentiles, in milliseconds.
      type: dict
    latencies_ms:
      description: All latencies, sorted.
      type: list
      elements: float
"""

from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.faults.module import ARGUMENT_SPEC, OPTIONS, run


def main():
    run_module(ARGUMENT_SPEC, run, **OPTIONS)


if __name__ == "__main__":
    main()
