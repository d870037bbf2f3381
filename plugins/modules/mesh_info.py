#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mesh_info
short_description: Report the state of a mesh
version_added: 0.1.0
description:
  - Reads the control planes, revision tags, proxies, gateways, trusted roots and namespaces of a mesh, with one list
    request a kind.
  - Changes nothing, and reads no private key.
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes.info
options:
  sections:
    description:
      - Sections to read.
      - V(footprint) lists every object of Istio's in the cluster. It takes some dozens of requests and gives a long
        answer, so it is not read by default.
    type: list
    elements: str
    choices: [control_planes, proxies, gateways, ca, namespaces, footprint]
    default: [control_planes, proxies, gateways, ca, namespaces]
seealso:
  - module: meshops.istio.proxies_info
  - module: meshops.istio.purge
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Read what runs in the mesh
  meshops.istio.mesh_info:
  register: mesh

- name: Fail where something needs attention
  ansible.builtin.assert:
    that: mesh.findings | length == 0
    fail_msg: "{{ mesh.findings }}"

- name: Show which pods lag behind their control plane
  ansible.builtin.debug:
    msg: "{{ mesh.proxies | selectattr('outdated') | map(attribute='pod') }}"

- name: Read which roots are trusted
  meshops.istio.mesh_info:
    sections: [ca]
  register: trust

- name: Fail where a root expires within 90 days
  ansible.builtin.assert:
    that: trust.ca.roots | map(attribute='days_left') | min > 90
  when: trust.ca.roots | length > 0
"""

RETURN = r"""
control_planes:
  description: Every istiod.
  returned: when the section is read
  type: list
  elements: dict
  contains:
    namespace:
      description: Its namespace.
      returned: success
      type: str
    name:
      description: The name of its Deployment.
      returned: success
      type: str
    revision:
      description: Its revision. The one without a name is V(default).
      returned: success
      type: str
    version:
      description: Istio's version, from the image.
      returned: success
      type: str
      sample: 1.31.0
    tags:
      description: The revision tags that point at it.
      returned: success
      type: list
      elements: str
    replicas:
      description: How many pods it should have.
      returned: success
      type: int
    ready:
      description: How many of them are ready.
      returned: success
      type: int
    proxies:
      description: How many proxies its revision has.
      returned: success
      type: int
tags:
  description: Every revision tag, with its C(name) and the C(revision) that it points at.
  returned: with the control planes
  type: list
  elements: dict
  sample:
    - name: stable
      revision: 1-31-0
proxies:
  description: Every proxy of a pod that has not ended.
  returned: when the section is read
  type: list
  elements: dict
  contains:
    namespace:
      description: The pod's namespace.
      returned: success
      type: str
    pod:
      description: The pod's name.
      returned: success
      type: str
    type:
      description: V(sidecar), V(gateway), V(waypoint) or V(ztunnel).
      returned: success
      type: str
    revision:
      description: The revision that injected or made it.
      returned: success
      type: str
    version:
      description: Istio's version, from the image. Empty where the image has no tag.
      returned: success
      type: str
    ready:
      description: Whether the proxy is ready.
      returned: success
      type: bool
    outdated:
      description: Whether no control plane of its revision has its version.
      returned: success
      type: bool
proxy_versions:
  description: How many proxies there are of each version.
  returned: with the proxies
  type: dict
  sample:
    1.31.0: 12
gateways:
  description: Every gateway and waypoint.
  returned: when the section is read
  type: list
  elements: dict
  contains:
    namespace:
      description: Its namespace.
      returned: success
      type: str
    name:
      description: The name of its workload.
      returned: success
      type: str
    type:
      description: V(gateway) or V(waypoint).
      returned: success
      type: str
    gateway_api:
      description: The name of the Gateway API's Gateway that it was made for, if any.
      returned: success
      type: str
    revisions:
      description: The revisions of its proxies.
      returned: success
      type: list
      elements: str
    versions:
      description: The versions of its proxies.
      returned: success
      type: list
      elements: str
    pods:
      description: How many pods it has.
      returned: success
      type: int
    ready:
      description: How many of them are ready.
      returned: success
      type: int
    services:
      description: The services that lead to it, with C(name), C(type), C(addresses), C(cluster_ip) and C(ports).
      returned: success
      type: list
      elements: dict
ca:
  description: What the namespaces trust.
  returned: when the section is read
  type: dict
  contains:
    roots:
      description:
        - "Every root, the one that expires first at the front: C(subject), C(fingerprint), C(not_after), C(days_left)
          and more, and the C(namespaces) that trust it."
      returned: success
      type: list
      elements: dict
    complete:
      description: Whether every namespace trusts the same roots.
      returned: success
      type: bool
    unreadable:
      description: The namespaces whose roots can't be read, with C(namespace) and C(reason).
      returned: success
      type: list
      elements: dict
namespaces:
  description: Every namespace that chooses the mesh by its labels, or has pods in it.
  returned: when the section is read
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      returned: success
      type: str
    mode:
      description: How new pods join the mesh - V(sidecar), V(ambient), or V(none).
      returned: success
      type: str
    revision:
      description: The revision that new pods get.
      returned: success
      type: str
    tag:
      description: The revision tag through which it gets the revision, if any.
      returned: success
      type: str
    pods:
      description: How many pods it has that have not ended.
      returned: success
      type: int
    sidecars:
      description: How many of them have a sidecar.
      returned: success
      type: int
    ambient:
      description: How many of them are in the ambient mesh.
      returned: success
      type: int
    outdated:
      description: How many of the sidecars are outdated.
      returned: success
      type: int
findings:
  description:
    - What is wrong, or soon will be, in the sections that were read. Errors come first.
    - For example proxies that lag behind their control plane, a tag whose revision is gone, a gateway without a ready
      pod, a root that expires within 90 days or that can't be read.
  returned: always
  type: list
  elements: dict
  contains:
    severity:
      description: V(error) or V(warning).
      returned: success
      type: str
    about:
      description: The object that it is about.
      returned: success
      type: str
    code:
      description:
        - The same for programs. One of V(control_plane_down), V(control_plane_degraded), V(tag_without_control_plane),
          V(namespace_without_control_plane), V(proxy_not_ready), V(proxies_outdated), V(gateway_down),
          V(gateway_without_service), V(root_unreadable), V(roots_differ), V(root_expired), V(root_expires).
      returned: success
      type: str
    text:
      description: What is wrong and what to do.
      returned: success
      type: str
footprint:
  description: Every object that is Istio's, with C(part), C(kind), C(namespace), C(name), and C(why) it is counted.
  returned: when the section is read
  type: list
  elements: dict
retained:
  description: Objects that look like Istio's, and why M(meshops.istio.purge) would retain them.
  returned: when RV(footprint) is read
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.footprint.listing import read_footprint
from ansible_collections.meshops.istio.plugins.module_utils.mesh.certificates import require_cryptography
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.findings import findings
from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.read import SECTIONS, read_mesh

SPEC: dict[str, dict] = {
    "sections": {
        "type": "list",
        "elements": "str",
        "choices": ["control_planes", "proxies", "gateways", "ca", "namespaces", "footprint"],
        "default": ["control_planes", "proxies", "gateways", "ca", "namespaces"],
    },
}


def run(module: AnsibleModule, cluster: Cluster) -> dict:
    sections = module.params["sections"]
    if "ca" in sections:
        require_cryptography()
    mesh = read_mesh(cluster, [section for section in SECTIONS if section in sections])
    result = {**mesh, "findings": findings(mesh)}
    if "footprint" in sections:
        found = read_footprint(cluster)
        result["footprint"] = [item.report() for item in found.items]
        result["retained"] = [item.report() for item in found.unsure]
    return {"changed": False, **result}


def main() -> None:
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
