#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: proxy_config
short_description: Create, change or remove an Istio ProxyConfig
version_added: 0.1.0
description:
  - A ProxyConfig sets how proxies are started. A running proxy takes it over when its pod is restarted.
  - One without O(selector) is for the whole namespace; in the root namespace it is for the whole mesh.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  selector:
    description:
      - The pods that it is for, by C(matchLabels).
    type: dict
  concurrency:
    description:
      - How many threads the proxy works with. V(0) takes as many as there are cores.
    type: int
  environment_variables:
    description:
      - More environment variables for the proxy.
    type: dict
    aliases: [environmentVariables]
  image:
    description:
      - "The kind of proxy image: C(imageType) V(default), V(debug) or V(distroless)."
    type: dict
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of ProxyConfig
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/networking/proxy-config/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Two threads for the proxies of bookinfo
  meshops.istio.proxy_config:
    name: default
    namespace: bookinfo
    concurrency: 2
    image:
      imageType: distroless

- name: Back to the defaults of the mesh
  meshops.istio.proxy_config:
    name: default
    namespace: bookinfo
    state: absent
"""

RETURN = r"""
action:
  description: What was done with the object, or in check mode would be.
  returned: always
  type: str
  sample: updated
object:
  description: The object as the server has it now, or in check mode would have it. Empty where there is none.
  returned: always
  type: dict
  sample:
    apiVersion: networking.istio.io/v1beta1
    kind: ProxyConfig
    metadata:
      name: example
      namespace: example
diff:
  description: What is declared, before and after.
  returned: when something changes, in diff mode
  type: dict
  contains:
    before:
      description: The fields before, as YAML.
      returned: success
      type: str
    after:
      description: The fields after, as YAML.
      returned: success
      type: str
    before_header:
      description: The kind, namespace and name.
      returned: success
      type: str
    after_header:
      description: The kind, namespace and name.
      returned: success
      type: str
"""

from ansible_collections.meshops.istio.plugins.module_utils.objects.typed_module import run_typed_module

SPEC: dict[str, dict] = {
    "selector": {"type": "dict"},
    "concurrency": {"type": "int"},
    "environment_variables": {"type": "dict", "aliases": ["environmentVariables"]},
    "image": {"type": "dict"},
}


def main() -> None:
    run_typed_module("networking.istio.io/v1beta1", "ProxyConfig", SPEC)


if __name__ == "__main__":
    main()
