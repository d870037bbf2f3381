# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.reconcile.managed_fields import handed_over


def entry(manager, fields, operation="Apply", **more):
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields, **more}


def live(*entries):
    return {"metadata": {"managedFields": list(entries)}}


def gives(manager):
    return manager.startswith("old")


def test_everything_that_is_given_belongs_to_one_manager_together_with_its_own():
    spec = {"f:spec": {"f:a": {}, "f:list": {'k:{"name":"x"}': {".": {}, "f:v": {}}}}}
    more = {"f:spec": {"f:b": {}, "f:list": {'k:{"name":"y"}': {}}}}
    own = {"f:metadata": {"f:labels": {"f:l": {}}}}
    stranger = entry("controller", {"f:status": {}}, "Update")
    found = handed_over(
        live(entry("old", spec), stranger, entry("old-too", more, "Update"), entry("helm", own)), gives, "helm"
    )
    assert found == [
        {
            **entry("helm", {}),
            "fieldsV1": {
                "f:spec": {
                    "f:a": {},
                    "f:b": {},
                    "f:list": {'k:{"name":"x"}': {".": {}, "f:v": {}}, 'k:{"name":"y"}': {}},
                },
                "f:metadata": {"f:labels": {"f:l": {}}},
            },
        },
        stranger,
    ]


def test_a_field_that_one_owns_as_a_whole_stays_owned_beside_its_parts():
    found = handed_over(live(entry("old", {"f:a": {}}), entry("old-too", {"f:a": {"f:b": {}}})), gives, "helm")
    assert found[0]["fieldsV1"] == {"f:a": {".": {}, "f:b": {}}}


def test_nothing_to_give():
    assert handed_over(live(entry("helm", {"f:a": {}}), entry("controller", {})), gives, "helm") is None
    assert handed_over({"metadata": {}}, gives, "helm") is None


def test_what_belongs_to_a_subresource_stays():
    assert handed_over(live(entry("old", {"f:status": {}}, subresource="status")), gives, "helm") is None
