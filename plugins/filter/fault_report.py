# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: fault_report
short_description: Compare measurements of a fault test with its faults
version_added: 0.1.0
author: The meshops.istio authors
description:
  - Compares the measurements of the module M(meshops.istio.fault_injection) with the faults that it injected.
options:
  _input:
    description:
      - The tests. Each has C(name), C(faults) as the module returns them, and C(before), C(during) and C(after), each
        the RV(meshops.istio.fault_injection#module:measured) of the module.
    type: list
    elements: dict
    required: true
  tolerance_ms:
    description: The time in milliseconds by which the median of the delayed requests may exceed the delay.
    type: float
    default: 300
  limits:
    description:
      - Requirements during the faults. C(success_percent) is the minimum percentage of responses below 500, C(p50_ms),
        C(p90_ms) and C(p99_ms) are the maximum latencies.
    type: dict
"""

EXAMPLES = r"""
- name: Evaluate a fault test
  ansible.builtin.debug:
    msg: "{{ ([test] | meshops.istio.fault_report(tolerance_ms=300)).table }}"
"""

RETURN = r"""
_value:
  description:
    - C(rows) with C(test), C(phase), C(request), C(expected), C(measured) and C(passed) each, C(passed) for all of
      them, C(table) as lines of text, and C(charts) for the HTML report.
  type: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import report as reports


def fault_report(tests, **options):
    """See module_utils/faults/report.py."""
    try:
        return reports.fault_report(tests, **options)
    except MeshopsError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Makes fault_report a filter."""

    def filters(self):
        return {"fault_report": fault_report}
