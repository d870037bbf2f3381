# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.ownership import in_release
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release
from ansible_collections.meshops.istio.plugins.module_utils.helm.stored import Stored
from ansible_collections.meshops.istio.plugins.module_utils.reconcile.identity import key
from ansible_collections.meshops.istio.plugins.module_utils.releases.model import Action, ReleasePlan
from ansible_collections.meshops.istio.plugins.module_utils.releases.ownership import check_ownership, check_removal

MINE, OTHER = Release("r", "c", "n"), Release("other", "c", "n")
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}


def plan(live, action=Action.NONE):
    return ReleasePlan(MINE, action, objects=[OBJECT], live={key(OBJECT): live} if live else {})


@pytest.mark.parametrize("action", [Action.NONE, Action.UPGRADE, Action.INSTALL])
def test_object_of_another_release_is_never_written(action):
    with pytest.raises(MeshopsError, match=r"\(Conflict\): ConfigMap n/a \(release n/other\)"):
        check_ownership(plan(in_release(OBJECT, OTHER), action), {key(OBJECT)})
    check_ownership(plan(in_release(OBJECT, MINE), action), ())
    check_ownership(plan(None, action), ())


def test_object_that_lost_its_marks_stays_the_releases():
    check_ownership(plan(OBJECT), {key(OBJECT)})
    with pytest.raises(MeshopsError, match="no release"):
        check_ownership(plan(OBJECT), ())


def record(*hooks):
    return Stored("r", "n", 1, "deployed", "", {}, "c", "1", "", {}, "csa", 0, {}, hooks=list(hooks))


def test_undeclared_release_is_removed_only_with_proven_objects():
    check_removal(record(), [in_release(OBJECT, MINE)])
    for live in (OBJECT, in_release(OBJECT, OTHER)):
        with pytest.raises(MeshopsError, match=r"names objects of another owner \(ConfigMap n/a\)"):
            check_removal(record(), [live])


def test_undeclared_release_with_hooks_of_its_removal_is_refused():
    check_removal(record({"name": "h", "events": ["pre-install", "test"]}), [])
    with pytest.raises(MeshopsError, match=r"it would run hooks \(h\)"):
        check_removal(record({"name": "h", "events": ["pre-delete"]}), [])
