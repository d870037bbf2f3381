# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module promises. What differs in a module, the module states under C(attributes)."""

from __future__ import annotations


class ModuleDocFragment:
    """The standard fragment is for modules that change a cluster, INFO for modules that only read."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts in check mode what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows in diff mode what has changed, or in check mode would change.
    support: full
  idempotent:
    description: A second run with the same arguments changes nothing, as long as nobody else changed the cluster.
    support: full
  action_group:
    description: Use C(group/meshops.istio.mesh) in C(module_defaults) to set the connection options once.
    support: full
    membership:
      - meshops.istio.mesh
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Runs in check mode as it does otherwise.
    support: full
    details:
      - This module only reads.
  diff_mode:
    description: Shows in diff mode what has changed.
    support: N/A
    details:
      - This module only reads.
  idempotent:
    description: A second run with the same arguments changes nothing.
    support: full
    details:
      - This module only reads.
  action_group:
    description: Use C(group/meshops.istio.mesh) in C(module_defaults) to set the connection options once.
    support: full
    membership:
      - meshops.istio.mesh
"""
