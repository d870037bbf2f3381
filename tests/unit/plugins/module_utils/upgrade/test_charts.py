# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.upgrade.charts import read_target


class Helm:
    """A helm whose chart base has a CustomResourceDefinition and a ServiceAccount."""

    def app_version(self, release):
        return f"{release.chart} {release.version}"

    def template(self, release, options):
        assert (release.chart, options.include_crds) == ("base", True)
        return (
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n---\n"
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: b}\n"
        )


def test_target_has_the_version_of_istiod_and_the_definitions_of_base():
    target = read_target(Helm(), "charts", "1.31.0")
    assert target.version == "istiod 1.31.0"
    assert [definition["metadata"]["name"] for definition in target.definitions] == ["b"]
