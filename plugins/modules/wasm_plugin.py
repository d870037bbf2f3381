#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: wasm_plugin
short_description: Create, change or remove an Istio WasmPlugin
version_added: 0.1.0
description:
  - A WasmPlugin runs a WebAssembly module in the proxies of workloads.
extends_documentation_fragment:
  - meshops.istio.object
  - meshops.istio.connection
  - meshops.istio.attributes
options:
  selector:
    description:
      - The pods that it is for, by C(matchLabels).
    type: dict
  target_ref:
    description:
      - The gateway or service that it is for. O(target_refs) can do the same and more.
    type: dict
    aliases: [targetRef]
  target_refs:
    description:
      - The gateways or services that it is for.
    type: list
    elements: dict
    aliases: [targetRefs]
  url:
    description:
      - "Where the module comes from: V(oci://), V(https://), V(http://) or V(file://). Without a scheme, V(oci://) is
        meant."
      - Required with O(state=present).
    type: str
  sha256:
    description:
      - The checksum that the module must have.
    type: str
  image_pull_policy:
    description:
      - Whether the module is fetched again when it is there already.
    type: str
    choices: [UNSPECIFIED_POLICY, IfNotPresent, Always]
    aliases: [imagePullPolicy]
  image_pull_secret:
    description:
      - The name of the secret with the registry's credentials, in the namespace of the plugin.
    type: str
    aliases: [imagePullSecret]
  verification_key:
    description:
      - The public key that a signed image is checked with.
    type: str
    aliases: [verificationKey]
  plugin_config:
    description:
      - The configuration that the module is given.
    type: dict
    aliases: [pluginConfig]
  plugin_name:
    description:
      - The name of the plugin in Envoy's configuration.
    type: str
    aliases: [pluginName]
  phase:
    description:
      - Before which of Istio's own filters it runs.
    type: str
    choices: [UNSPECIFIED_PHASE, AUTHN, AUTHZ, STATS]
  priority:
    description:
      - The order among the plugins of a phase, highest first.
    type: int
  fail_strategy:
    description:
      - What happens to requests when the module can't be loaded or crashes.
    type: str
    choices: [FAIL_CLOSE, FAIL_OPEN, FAIL_RELOAD]
    aliases: [failStrategy]
  vm_config:
    description:
      - "The virtual machine that it runs in: C(env)."
    type: dict
    aliases: [vmConfig]
  match:
    description:
      - The traffic that it sees, by C(mode) and C(ports).
    type: list
    elements: dict
  type:
    description:
      - Whether it is a filter of HTTP or of network traffic.
    type: str
    choices: [UNSPECIFIED_PLUGIN_TYPE, HTTP, NETWORK]
seealso:
  - module: meshops.istio.mesh_objects
  - name: Reference of WasmPlugin
    description: Every field and what it means.
    link: https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/
author:
  - The meshops.istio authors (@meshops)
"""

EXAMPLES = r"""
- name: Ask for a password on the ingress gateway
  meshops.istio.wasm_plugin:
    name: basic-auth
    namespace: istio-ingress
    selector:
      matchLabels:
        istio: ingress
    url: oci://ghcr.io/istio-ecosystem/wasm-extensions/basic_auth:1.12.0
    phase: AUTHN
    plugin_config:
      basic_auth_rules:
        - prefix: /productpage
          request_methods:
            - GET

- name: Ask no more
  meshops.istio.wasm_plugin:
    name: basic-auth
    namespace: istio-ingress
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
    apiVersion: extensions.istio.io/v1alpha1
    kind: WasmPlugin
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
    "target_ref": {"type": "dict", "aliases": ["targetRef"]},
    "target_refs": {"type": "list", "elements": "dict", "aliases": ["targetRefs"]},
    "url": {"type": "str"},
    "sha256": {"type": "str"},
    "image_pull_policy": {
        "type": "str",
        "choices": ["UNSPECIFIED_POLICY", "IfNotPresent", "Always"],
        "aliases": ["imagePullPolicy"],
    },
    "image_pull_secret": {"type": "str", "aliases": ["imagePullSecret"], "no_log": False},
    "verification_key": {"type": "str", "aliases": ["verificationKey"], "no_log": False},
    "plugin_config": {"type": "dict", "aliases": ["pluginConfig"]},
    "plugin_name": {"type": "str", "aliases": ["pluginName"]},
    "phase": {"type": "str", "choices": ["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"]},
    "priority": {"type": "int"},
    "fail_strategy": {
        "type": "str",
        "choices": ["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"],
        "aliases": ["failStrategy"],
    },
    "vm_config": {"type": "dict", "aliases": ["vmConfig"]},
    "match": {"type": "list", "elements": "dict"},
    "type": {"type": "str", "choices": ["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"]},
}


def main() -> None:
    run_typed_module("extensions.istio.io/v1alpha1", "WasmPlugin", SPEC, required=["url"])


if __name__ == "__main__":
    main()
