# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import hashlib
import os
import stat
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import Helm, HelmError, _last_words, local_chart
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release, merged


@pytest.fixture
def helm_that(tmp_path):
    """Makes a helm that is a shell script."""

    def make(script: str, cluster=None) -> Helm:
        path = tmp_path / "helm"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return Helm(cluster, str(path))

    return make


class SomeCluster:
    def kubeconfig(self):
        return {"users": [{"name": "user", "user": {"token": "s3cret"}}]}


@pytest.fixture
def chart(tmp_path):
    folder = tmp_path / "charts" / "mine"
    folder.mkdir(parents=True)
    (folder / "Chart.yaml").write_text("name: mine\nversion: 1.2.3\nappVersion: '9'\n")
    return folder


def release(**more):
    return Release(**{"name": "r", "chart": "mine", "namespace": "n", "values": {"password": "s3cret"}, **more})


def test_values_merge_as_helm_merges_them():
    assert merged({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": 1}, None) == {"a": {"b": 1, "c": [3]}, "d": 1}


def test_no_helm_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HelmError, match=r"there is no helm on the PATH: install Helm .* option binary_path"):
        Helm()


@pytest.mark.parametrize(("text", "version"), [("v4.3.1", (4, 3)), ("v3.22.0+g1", (3, 22)), ("4.0.0-rc.1", (4, 0))])
def test_version(helm_that, text, version):
    with helm_that(f"echo {text}") as helm:
        assert helm.version == version


def test_something_else_that_is_called_helm(helm_that):
    with helm_that("echo 'the editor'") as helm, pytest.raises(HelmError, match="calls itself version"):
        assert helm.version


def test_secrets_are_in_private_files_that_go(helm_that, chart):
    script = """for f; do [ -f "$f" ] && stat -c %a "$f"; done
stat -c %a "$KUBECONFIG"; echo "$@"; echo "$KUBECONFIG\""""
    with helm_that(script, SomeCluster()) as helm:
        out = helm.template(release(charts=str(chart.parent)))
        folder = helm._folder
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    lines = out.splitlines()
    assert lines[:2] == ["600", "600"]
    assert "s3cret" not in out
    assert not folder.exists()


def test_what_a_killed_run_has_left_is_removed(helm_that, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with helm_that("true") as one:
        left = one._folder
    for name, age in ((left.name + "x", 7200), (left.name + "y", 60)):
        folder = tmp_path / name
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    with helm_that("true"):
        assert not (tmp_path / (left.name + "x")).exists()
        assert (tmp_path / (left.name + "y")).exists()


def test_helm_s_own_last_words_are_the_message(helm_that, chart):
    said = pytest.raises(HelmError, match="chart mine of release r can't be rendered: no such thing")
    with said, helm_that("echo 'WARNING: x' >&2; echo 'Error: no such thing' >&2; exit 1") as helm:
        helm.template(release(charts=str(chart.parent)))
    assert _last_words("one\ntwo\n") == "two"
    assert _last_words("") == ""


@pytest.mark.parametrize(
    ("version", "method", "there"),
    [("v4.1.0", "ssa", True), ("v4.1.0", None, True), ("v4.1.0", "csa", False), ("v3.22.0", "csa", False)],
)
def test_conflicts_are_forced_where_the_server_applies(helm_that, chart, tmp_path, version, method, there):
    log = tmp_path / "log"
    with helm_that(f'[ "$1" = version ] && echo {version} || echo "$@" > {log}') as helm:
        helm.upgrade(release(charts=str(chart.parent)), apply_method=method)
    assert ("--force-conflicts" in log.read_text()) == there


@pytest.mark.parametrize("version", ["v3.22.0", "v4.3.1"])
def test_the_post_renderer_gives_what_was_planned(helm_that, chart, tmp_path, version):
    """As Helm 3 runs it, a program; and as Helm 4, a plugin."""
    script = f"""[ "$1" = version ] && echo {version} && exit
while [ $# -gt 0 ]; do [ "$1" = --post-renderer ] && r=$2; shift; done
[ -x "$r" ] || r=$HELM_PLUGINS/$r/$r
echo rendered | "$r" > {tmp_path}/out"""
    with helm_that(script) as helm:
        helm.upgrade(release(charts=str(chart.parent)), manifest="planned: true\n")
    assert (tmp_path / "out").read_text() == "planned: true\n"


def test_charts_in_a_directory(tmp_path, chart):
    charts = chart.parent
    assert local_chart(charts, "mine", None) == chart
    assert local_chart(charts, "mine", "1.2.3") == chart
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1"):
        (charts / f"base-{version}.tgz").touch()
    (charts / "base-extra-2.0.0.tgz").touch()
    assert local_chart(charts, "base", None).name == "base-1.10.0.tgz"
    assert local_chart(charts, "base", "1.9.0").name == "base-1.9.0.tgz"
    with pytest.raises(HelmError, match=r"chart mine 2 not found in .*: it has base-1\.10\.0-rc\.1\.tgz") as error:
        local_chart(charts, "mine", "2")
    assert "It is looked for as mine-2.tgz or mine/Chart.yaml: charts (control_plane_charts" in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(HelmError, match=r"it has no charts\. It is looked for as istiod-VERSION.tgz.*packaged charts"):
        local_chart(tmp_path / "empty", "istiod", None)
    with pytest.raises(HelmError, match="there is no directory"):
        local_chart(tmp_path / "nowhere", "mine", None)


def test_istio_s_own_tree(tmp_path):
    folder = tmp_path / "istio-control" / "istio-discovery"
    folder.mkdir(parents=True)
    (folder / "Chart.yaml").write_text("name: istiod\nversion: 1.0.0\n")
    assert local_chart(tmp_path, "istiod", None) == folder


def test_digests(helm_that, chart):
    package = chart.parent / "base-1.0.0.tgz"
    package.write_bytes(b"package")
    good = "sha256:" + hashlib.sha256(b"package").hexdigest()
    with helm_that("true") as helm:
        assert helm.chart(release(chart="base", charts=str(chart.parent), digest=good)) == str(package)
        with pytest.raises(HelmError, match="it isn't the package that was pinned"):
            helm.chart(release(chart="base", charts=str(chart.parent), digest="sha256:00"))
        with pytest.raises(HelmError, match="is a folder, which has no digest"):
            helm.chart(release(charts=str(chart.parent), digest=good))


def test_charts_from_elsewhere_are_fetched_once(helm_that, tmp_path):
    log = tmp_path / "log"
    script = f"""echo "$@" >> {log}
while [ $# -gt 0 ]; do [ "$1" = --destination ] && touch "$2/base-1.0.0.tgz"; shift; done"""
    with helm_that(script) as helm:
        for source in ("oci://r.example.com/charts", "https://r.example.com"):
            one = release(chart="base", charts=source, version="1.0.0")
            assert helm.chart(one) == helm.chart(one)
    first, second = log.read_text().splitlines()
    assert first.startswith("pull oci://r.example.com/charts/base --version 1.0.0 --destination")
    assert second.startswith("pull base --repo https://r.example.com --version 1.0.0 --destination")


def test_a_chart_that_cannot_be_fetched(helm_that):
    said = pytest.raises(HelmError, match=r"chart base 9 of release r can't be fetched from oci://x: not found")
    with said, helm_that("echo 'Error: not found' >&2; exit 1") as helm:
        helm.chart(release(chart="base", charts="oci://x", version="9"))
