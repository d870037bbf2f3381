# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mistyped variables of the roles."""

from __future__ import annotations

import pathlib
import re

import pytest
from ansible_collections.meshops.istio.plugins.filter.mistyped_variables import (
    PLAYBOOK_VARIABLES,
    known_variables,
    mistyped_variables,
)

PLAYBOOKS = pathlib.Path(__file__).parents[4] / "playbooks"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("control_plane_mesh_configs", "control_plane_mesh_config"),
        ("gateway_list", None),  # no role is called gateway
        ("gateways_lists", "gateways_list"),
        ("injection_namespace", "injection_namespaces"),
        ("controlplane_profile", None),
        ("site_release", "site_releases"),
        ("purge_confirmed", "purge_confirm"),
    ],
)
def test_a_mistyped_variable_is_found_with_the_right_name(name, near):
    expected = [f"Variable {name} does not exist. Did you mean {near}?"] if near else []
    assert mistyped_variables([name]) == expected


def test_variables_of_roles_results_and_names_of_a_user_are_not_mistyped():
    own = ["gateways_list_common", "ca_files_dir", "control_plane_values_of_east", "shop_namespace", "injection_result"]
    assert mistyped_variables([*known_variables(), *own]) == []


def test_the_variables_of_the_playbooks_are_those_that_they_read():
    read = {
        name
        for path in PLAYBOOKS.glob("*.yml")
        for name in re.findall(
            r"\b((?:site|report|bundle)_\w+)(?<!_result) (?:\| default\(|is defined)", path.read_text()
        )
    }
    assert read == set(PLAYBOOK_VARIABLES)
