# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses

from ansible_collections.meshops.istio.plugins.module_utils.control_plane.options import (
    CONTROL_PLANE_OPTIONS,
    ControlPlaneOptions,
)


def test_what_is_not_given_has_the_default():
    given = dict.fromkeys(CONTROL_PLANE_OPTIONS) | {"wait": True, "tags": ["prod"], "cni": False}
    assert ControlPlaneOptions.of(given) == ControlPlaneOptions(tags=("prod",), cni=False)


def test_every_option_of_the_modules_is_a_field():
    fields = {field.name for field in dataclasses.fields(ControlPlaneOptions)}
    assert fields - {"hold_tags"} == CONTROL_PLANE_OPTIONS.keys()


def test_namespace_of_istiod():
    assert ControlPlaneOptions().home == "istio-system"
    assert ControlPlaneOptions(namespace="mesh").home == "mesh"
