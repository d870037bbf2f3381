# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of the modules that install a control plane."""

from __future__ import annotations

#: The options that say what a control plane is, as C(control_plane.desired_control_plane) reads them.
CONTROL_PLANE_OPTIONS = {
    "profile": {"type": "str"},
    "version": {"type": "str"},
    "revision": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "values": {"type": "dict"},
    "mesh_config": {"type": "dict"},
    "cni": {"type": "bool"},
    "istio_operator": {"type": "raw"},
    "charts": {"type": "str", "default": "https://istio-release.storage.googleapis.com/charts"},
    "digests": {"type": "dict"},
    "hub": {"type": "str"},
    "tag": {"type": "str"},
    "namespace": {"type": "str"},
}
