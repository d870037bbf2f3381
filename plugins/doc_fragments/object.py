# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options that every module for one kind of object has."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents C(istio.typed.OBJECT_SPEC)."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - The name of the object.
    type: str
    required: true
  namespace:
    description:
      - The namespace of the object.
    type: str
    default: default
  labels:
    description:
      - Labels of the object.
    type: dict
  annotations:
    description:
      - Annotations of the object.
    type: dict
  state:
    description:
      - Whether the object exists as declared, or is deleted.
      - V(absent) needs O(name) and O(namespace) only.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description:
      - The set of objects that this one belongs to, kept in the label C(meshops.istio/owner).
      - O(meshops.istio.mesh_objects#module:prune) uses it.
    type: str
  force_conflicts:
    description:
      - Takes over fields that another field manager owns. Otherwise such a field is an error that names the other
        manager.
    type: bool
    default: false
  force_conflicts_from:
    description:
      - The field managers from which fields are taken over, instead of from all of them.
      - Items that they keep in a declared list are removed where the list is declared without them.
    type: list
    elements: str
    default: []
  wait:
    description:
      - Waits until the object is ready according to its status, or until it is deleted.
    type: bool
    default: false
  wait_timeout:
    description:
      - Time limit in seconds for writes, retries of refused requests, and waiting.
    type: int
    default: 120
notes:
  - Fields that an earlier run declared and that are no longer given are removed. Fields of other managers are retained.
  - Options may be written as in Istio's documentation too, such as C(exportTo) for C(export_to). Fields below an
    option are always written as there.
"""
