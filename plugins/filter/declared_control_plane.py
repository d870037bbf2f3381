# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: declared_control_plane
short_description: What gateways must know of a control plane
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Says of the options of M(meshops.istio.control_plane) which namespace, revision and platform they come to, as that
    module returns them, without a cluster. An IstioOperator document among them is read where Ansible runs.
options:
  _input:
    description: Options of M(meshops.istio.control_plane); those that are null count as missing.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Where istiod will run
  ansible.builtin.debug:
    msg: "{{ ({'istio_operator': 'mesh.yaml'} | meshops.istio.declared_control_plane).namespace }}"
"""

RETURN = r"""
_value:
  description: The control plane's C(namespace), C(revision) and C(platform); the last two are empty where it has none.
  type: dict
"""

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.declared import declared_control_plane
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.options import CONTROL_PLANE_OPTIONS
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError


def declared(options):
    given = {name: value for name, value in options.items() if value is not None}
    checked = ArgumentSpecValidator(CONTROL_PLANE_OPTIONS).validate(given)
    if checked.error_messages:
        raise AnsibleFilterError("; ".join(checked.error_messages))
    try:
        wanted = declared_control_plane(checked.validated_parameters)
    except MeshopsError as error:
        raise AnsibleFilterError(str(error)) from error
    return {"namespace": wanted.namespace, "revision": wanted.revision, "platform": wanted.platform}


class FilterModule:
    def filters(self):
        return {"declared_control_plane": declared}
