#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_injection
short_description: Inject delays and aborts, measure and remove them
version_added: 0.1.0
author: The meshops.istio authors (@meshops)
description:
  - Injects delays and errors into the requests of a host's clients, with Istio's own fault injection.
  - Existing routes of the host's VirtualService do not change. The module inserts a copy that carries the fault before
    each route that the fault matches, and removes the copies later. If the host has no VirtualService, the module
    creates one, and deletes it together with the faults.
  - Removing the faults restores the VirtualService's labels, annotations and field owners. Changes that others have
    made since the injection are retained.
  - Optionally measures with requests that a pod sends through its own proxy, after that proxy has received the change.
extends_documentation_fragment:
  - meshops.istio.attributes
  - meshops.istio.connection
attributes:
  idempotent:
    support: partial
    details:
      - With O(duration), each run restarts the time, which is a change.
options:
  hostname:
    description:
      - The host whose clients get the fault. V(echo) is the Service in O(namespace), V(echo.demo) and
        V(echo.demo.svc.cluster.local) are the Service in namespace C(demo); any other name is a ServiceEntry's host.
      - Required with O(state=present) and O(state=measured). With O(state=absent) and no host, the module removes all
        faults of O(namespace), or of all namespaces.
    type: str
  namespace:
    description:
      - The namespace of O(hostname) and O(virtual_service) where they do not name one.
      - Without O(hostname), the module removes faults from this namespace, or from all namespaces if it is not set.
    type: str
  state:
    description:
      - V(present) injects these faults, and replaces other faults of the host.
      - V(absent) removes all faults of the host that this module has injected.
      - V(measured) changes nothing and only measures. It fails if the host carries faults that this module has
        injected, because they would be measured as the host's normal behaviour.
    type: str
    choices: [present, absent, measured]
    default: present
  delay:
    description:
      - The time by which requests are delayed, such as V(2s).
      - "Or a dictionary as in Istio's documentation, such as C({fixedDelay: 2s, percentage: {value: 50}})."
    type: raw
  abort:
    description:
      - The HTTP status of the response to requests, such as V(503).
      - "Or a dictionary as in Istio's documentation, such as C({grpcStatus: UNAVAILABLE, percentage: {value: 50}})."
      - "V(close), or C({close: true, percentage: {value: 50}}), closes TCP connections, and TLS connections that are
        passed through, as soon as they are open."
    type: raw
  match:
    description:
      - The requests that get the fault, as one or more of Istio's HTTPMatchRequest. A request gets the fault if one of
        them and the route's own match apply. To close connections, use C(port), C(sourceLabels), C(sourceNamespace),
        C(destinationSubnets) and C(gateways).
    type: list
    elements: dict
  faults:
    description:
      - Several faults at once, instead of O(delay), O(abort) and O(match). If several match a request, the first one
        applies.
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
      - The VirtualService to inject the faults into, as C(name) or C(namespace/name).
      - Required if several VirtualServices route the host, if one with a wildcard does, or for one that applies to a
        gateway only.
    type: str
  duration:
    description:
      - The time after which a Job in the cluster removes the faults, such as V(10m), even if this run has been killed.
        The module injects the faults only after the Job's pod has reached the API server. A NetworkPolicy for this pod
        allows the connection.
      - Without it, the faults remain until O(state=absent), including those that had a duration before.
    type: str
  image:
    description:
      - The image of that Job. It must contain C(sh), C(date), C(sleep), C(cat), C(sed), C(head) and C(curl).
      - The default is the proxy image of the mesh's pods.
    type: str
  domain:
    description:
      - The cluster's DNS domain.
    type: str
    default: cluster.local
  measure:
    description:
      - The requests to send from inside the mesh, after the change has reached the proxy that sends them.
    type: list
    elements: dict
    suboptions:
      url:
        description:
          - The URL, such as V(http://echo/), V(grpc://echo:8081) or V(tcp://echo:9000). The latter two are calls of,
            and connections to, the echo server of C(charts/probe), which C(probe) makes one after the other.
        type: str
        required: true
      namespace:
        description: The namespace of the pod that sends the requests. The default is O(namespace).
        type: str
      selector:
        description: The labels of the pod that sends the requests. It needs a sidecar.
        type: str
        default: app=client
      container:
        description: The container to run the tool in. The default is the first one that is not the proxy.
        type: str
      tool:
        description:
          - The tool that sends the requests. V(probe) is the program in the image of C(charts/probe). V(curl) also
            requires C(sh).
          - V(auto) uses C(probe), or C(curl) if the container has no C(probe).
        type: str
        choices: [auto, probe, curl]
        default: auto
      requests:
        description: The number of requests.
        type: int
        default: 20
      parallel:
        description: The number of concurrent requests, with C(probe).
        type: int
        default: 5
      headers:
        description: Headers of the requests.
        type: dict
      fault:
        description:
          - The number of the fault in O(faults) that these requests should get, counted from 1; V(0) means none. The
            module only repeats it in RV(measured), for the filter P(meshops.istio.fault_report#filter).
        type: int
        default: 1
  wait_timeout:
    description:
      - The time in seconds that the measuring proxies have to receive the change.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Delay every second request to echo by two seconds, for at most ten minutes
  meshops.istio.fault_injection:
    hostname: echo
    namespace: demo
    delay: {fixedDelay: 2s, percentage: {value: 50}}
    duration: 10m

- name: Abort the requests of one test user, and measure it from the client
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

- name: Remove the faults of this host
  meshops.istio.fault_injection:
    hostname: echo
    namespace: demo
    state: absent

- name: Remove all faults from all namespaces
  meshops.istio.fault_injection:
    state: absent
"""

RETURN = r"""
virtual_services:
  description: The VirtualServices that the module has changed or checked.
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
  description: The injected faults, as Istio writes them.
  returned: O(state=present)
  type: list
  elements: dict
measured:
  description: The measurements, one entry for each of O(measure).
  returned: O(measure) is given, and not in check mode
  type: list
  elements: dict
  contains:
    url:
      description: The URL of the requests.
      type: str
    fault:
      description: The fault that they should get, O(measure[].fault).
      type: int
    requests:
      description: The number of requests.
      type: int
    statuses:
      description: The number of responses by HTTP status.
      type: dict
    errors:
      description: The number of requests without a response, or with a gRPC status other than OK, by error.
      type: dict
    versions:
      description: The number of responses by version of the echo server.
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
from ansible_collections.meshops.istio.plugins.module_utils.faults.module import run

FAULT = {
    "delay": {"type": "raw"},
    "abort": {"type": "raw"},
    "match": {"type": "list", "elements": "dict"},
}
MEASURE = {
    "url": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "selector": {"type": "str", "default": "app=client"},
    "container": {"type": "str"},
    "tool": {"type": "str", "choices": ["auto", "probe", "curl"], "default": "auto"},
    "requests": {"type": "int", "default": 20},
    "parallel": {"type": "int", "default": 5},
    "headers": {"type": "dict"},
    "fault": {"type": "int", "default": 1},
}
ARGUMENT_SPEC = {
    **FAULT,
    "hostname": {"type": "str"},
    "namespace": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "measured"], "default": "present"},
    "faults": {"type": "list", "elements": "dict", "options": FAULT},
    "virtual_service": {"type": "str"},
    "duration": {"type": "str"},
    "image": {"type": "str"},
    "domain": {"type": "str", "default": "cluster.local"},
    "measure": {"type": "list", "elements": "dict", "options": MEASURE},
    "wait_timeout": {"type": "int", "default": 60},
}
OPTIONS = {
    "required_if": [
        ("state", "present", ("hostname", "namespace")),
        ("state", "present", ("delay", "abort", "faults"), True),
        ("state", "measured", ("hostname", "namespace")),
    ],
    "required_by": {"hostname": ("namespace",), "virtual_service": ("hostname",)},
    "mutually_exclusive": [("faults", "delay"), ("faults", "abort"), ("faults", "match")],
}


def main():
    run_module(ARGUMENT_SPEC, run, **OPTIONS)


if __name__ == "__main__":
    main()
