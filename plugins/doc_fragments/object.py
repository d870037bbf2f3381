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
      - Whether the object shall exist as it is declared here, or not exist.
      - V(absent) needs O(name) and O(namespace) only.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description:
      - The set of objects that this one belongs to, kept in the label C(meshops.istio/owner).
      - It is what O(meshops.istio.mesh_objects#module:prune) goes by.
    type: str
  force_conflicts:
    description:
      - Whether to take over fields that somebody else manages. Without it, such a field is an error that names the
        other manager.
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
      - Whether to wait until the object is ready, as far as its status tells, or until it is gone.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds that writing, repeating refused requests, and waiting may take.
    type: int
    default: 120
notes:
  - Fields that an earlier run declared and that are no longer given are removed. Fields of other managers stay.
  - Options may be written as in Istio's documentation too, such as C(exportTo) for C(export_to). What is below an
    option is always written as there.
"""
