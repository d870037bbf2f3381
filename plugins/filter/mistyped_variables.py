# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: mistyped_variables
short_description: Find mistyped variables of the roles
version_added: 0.1.0
author:
  - The meshops.istio authors (@meshops)
description:
  - Ansible ignores a variable that no role reads, so a mistyped one has no effect.
  - Finds names that begin like a role of this collection and differ from one of its variables by a letter or two.
options:
  _input:
    description: Names of variables.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Fail where a variable is mistyped
  ansible.builtin.assert:
    that: hostvars[inventory_hostname] | list | meshops.istio.mistyped_variables | length == 0
"""

RETURN = r"""
_value:
  description: A sentence for each mistyped name.
  type: list
  elements: str
"""

import functools
import pathlib

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.wording import nearest

ROLES = pathlib.Path(__file__).parents[2] / "roles"
#: What only the playbooks read.
PLAYBOOK_VARIABLES = (
    "bundle_dir",
    "bundle_log_lines",
    "report_dir",
    "site_owner",
    "site_prune",
    "site_releases",
)
#: Names of a user's own may resemble a variable; only very similar ones count as mistyped.
SIMILARITY = 0.9


@functools.cache
def known_variables():
    """The variables of all roles and playbooks."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    known = set(PLAYBOOK_VARIABLES)
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        specs = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["argument_specs"]
        for entry_point in specs.values():
            known.update(entry_point.get("options", ()))
    return frozenset(known)


def mistyped_variables(names):
    """A sentence for each name that is nearly one of our variables."""
    known = known_variables()
    prefixes = tuple({f"{path.name}_" for path in ROLES.iterdir()} | {"bundle_", "report_", "site_"})
    unknown = sorted(
        str(name) for name in names if name not in known and name.startswith(prefixes) and not name.endswith("_result")
    )
    found = ((name, nearest(name, known, SIMILARITY)) for name in unknown)
    return [f"Variable {name} does not exist. Did you mean {near}?" for name, near in found if near]


class FilterModule:
    """Makes mistyped_variables a filter."""

    def filters(self):
        return {"mistyped_variables": mistyped_variables}
