# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.chart_sources import (
    Login,
    local_chart,
    semver,
    split_login,
)


@pytest.fixture
def chart(tmp_path):
    folder = tmp_path / "charts" / "mine"
    folder.mkdir(parents=True)
    (folder / "Chart.yaml").write_text("name: mine\nversion: 1.2.3\n")
    return folder


def test_charts_in_a_directory(tmp_path, chart):
    charts = chart.parent
    assert local_chart(charts, "mine", None) == chart
    assert local_chart(charts, "mine", "1.2.3") == chart
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1", "1.11.0-alpha.0"):
        (charts / f"base-{version}.tgz").touch()
    (charts / "base-extra-2.0.0.tgz").touch()
    assert local_chart(charts, "base", None).name == "base-1.10.0.tgz"
    assert local_chart(charts, "base", "1.9.0").name == "base-1.9.0.tgz"
    assert local_chart(charts, "base", "1.11.0-alpha.0").name == "base-1.11.0-alpha.0.tgz"
    with pytest.raises(
        MeshopsError, match=r"chart mine 2 not found in .*: the folder has base-1\.10\.0-rc\.1\.tgz"
    ) as error:
        local_chart(charts, "mine", "2")
    assert "neither mine-2.tgz nor mine/Chart.yaml" in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MeshopsError, match=r"has no charts, and neither istiod-VERSION.tgz.*Helm repository"):
        local_chart(tmp_path / "empty", "istiod", None)
    with pytest.raises(MeshopsError, match="does not exist"):
        local_chart(tmp_path / "nowhere", "mine", None)


def test_only_prereleases_are_better_than_none(tmp_path):
    for version in ("1.32.0-rc.9", "1.32.0-rc.10"):
        (tmp_path / f"base-{version}.tgz").touch()
    assert local_chart(tmp_path, "base", None).name == "base-1.32.0-rc.10.tgz"


def test_chart_in_a_folder_of_another_name(tmp_path):
    """As in Istio's own tree, manifests/charts of a release archive."""
    folder = tmp_path / "istio-control" / "istio-discovery"
    folder.mkdir(parents=True)
    (folder / "Chart.yaml").write_text("name: istiod\nversion: 1.0.0\n")
    assert local_chart(tmp_path, "istiod", None) == folder


def test_versions_are_sorted_as_semver_does():
    order = ["1.9.0", "1.10.0-alpha", "1.10.0-rc.9", "1.10.0-rc.10", "1.10.0", "v1.11.0"]
    assert sorted({*order}, key=semver) == order


def test_login_in_an_address():
    given = Login("a", "b", "/ca")
    assert split_login("https://r/x", given) == ("https://r/x", given)
    assert split_login("https://ci:p%40ss@r:8443/x", given) == ("https://r:8443/x", Login("ci", "p@ss", "/ca"))
    assert Login("ci", "p@ss").hidden("x p@ss y p%40ss") == "x ******** y ********"
