# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: mesh_summary
short_description: Summarize what a playbook changed, in words
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Makes the lines that the playbooks of this collection show at their end.
  - Lists the changes, the control planes that run, where gateways listen, and what needs attention.
options:
  _input:
    description:
      - Results of modules. C(releases) is a list of results of M(meshops.istio.control_plane),
        M(meshops.istio.releases) and M(meshops.istio.adoption). C(injection) is a list of results of
        M(meshops.istio.injection) and M(meshops.istio.data_plane). C(objects) is a list of results of
        M(meshops.istio.mesh_objects). C(mesh) is a result of M(meshops.istio.mesh_info).
    type: dict
    required: true
  check_mode:
    description: Whether the results are those of check mode.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the summary
  ansible.builtin.debug:
    msg: "{{ {'objects': [mesh_objects_result]} | meshops.istio.mesh_summary(check_mode=ansible_check_mode) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from ansible_collections.meshops.istio.plugins.module_utils.mesh_info.summary import summary


def mesh_summary(results, check_mode=False):
    """See module_utils/mesh_info/summary.py."""
    return summary(results, check_mode=check_mode)


class FilterModule:
    """Makes mesh_summary a filter."""

    def filters(self):
        return {"mesh_summary": mesh_summary}
