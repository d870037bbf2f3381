# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
import sys
import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.helm.chart_sources import Login
from ansible_collections.meshops.istio.plugins.module_utils.helm.helm import (
    Helm,
    HelmBusy,
    HelmError,
    RenderOptions,
    UpgradeOptions,
    _last_words,
)
from ansible_collections.meshops.istio.plugins.module_utils.helm.releases import Release


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


def test_no_helm_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HelmError, match=r"helm not found on the PATH \(NotFound\): install Helm .* set binary_path"):
        Helm()


@pytest.mark.parametrize(("text", "version"), [("v4.3.1", (4, 3)), ("v3.22.0+g1", (3, 22)), ("4.0.0-rc.1", (4, 0))])
def test_version(helm_that, text, version):
    with helm_that(f"echo {text}") as helm:
        assert helm.version == version


def test_something_else_that_is_called_helm(helm_that):
    with (
        helm_that("echo 'the editor'") as helm,
        pytest.raises(HelmError, match="Unexpected output from `.*helm version`: 'the editor'"),
    ):
        assert helm.version


@pytest.mark.parametrize("text", ["v3.10.2", "v2.17.0", "v3.13.9+g1"])
def test_helm_that_is_too_old_is_refused_before_it_writes(helm_that, chart, tmp_path, text):
    script = f'[ "$1" = version ] && echo {text} || touch {tmp_path}/ran'
    with helm_that(script) as helm, pytest.raises(HelmError, match=f"is Helm {re.escape(text)}, which is too old"):
        helm.upgrade(release(charts=str(chart.parent)), UpgradeOptions())
    assert not (tmp_path / "ran").exists()


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
    for name, age in ((left.name + "x", 7200), (left.name + "y", 30)):
        folder = tmp_path / name
        folder.mkdir()
        os.utime(folder, (time.time() - age,) * 2)
    with helm_that("true"):
        assert not (tmp_path / (left.name + "x")).exists()
        assert (tmp_path / (left.name + "y")).exists()


def test_helm_s_own_last_words_are_the_message(helm_that, chart):
    said = pytest.raises(HelmError, match="chart mine of release r cannot be rendered: no such thing")
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
        helm.upgrade(release(charts=str(chart.parent)), UpgradeOptions(apply_method=method))
    assert ("--force-conflicts" in log.read_text()) == there


@pytest.mark.parametrize("version", ["v3.22.0", "v4.3.1"])
def test_post_renderer_prints_the_planned_manifest(helm_that, chart, tmp_path, version):
    """As Helm 3 runs it, a command; and as Helm 4, a plugin. Its file is not executable: /tmp may be noexec."""
    script = f"""[ "$1" = version ] && echo {version} && exit
while [ $# -gt 0 ]; do case $1 in --post-renderer) r=$2;; --post-renderer-args) a=$2;; esac; shift; done
[ -n "$a" ] || {{ a=$HELM_PLUGINS/$r/render.py; r={sys.executable}; cp $HELM_PLUGINS/*/plugin.yaml {tmp_path}/; }}
[ -x "$a" ] && exit 1
printf 'rendered: true\n---\nmetadata: {{annotations: {{helm.sh/hook: pre-upgrade}}}}\n' | "$r" "$a" > {tmp_path}/out"""
    with helm_that(script) as helm:
        helm.upgrade(release(charts=str(chart.parent)), UpgradeOptions(manifest="planned: true\n"))
    hook = "---\nmetadata: {annotations: {helm.sh/hook: pre-upgrade}}\n"
    assert (tmp_path / "out").read_text() == hook + "planned: true\n"
    if version.startswith("v4"):
        command = json.loads((tmp_path / "plugin.yaml").read_text())["runtimeConfig"]["platformCommand"]
        assert command == [{"command": sys.executable, "args": ["${HELM_PLUGIN_DIR}/render.py"]}]


def test_busy_release_is_told_by_its_type(helm_that, chart):
    with helm_that("echo 'Error: another operation (install/upgrade/rollback) is in progress' >&2; exit 1") as helm:
        helm.__dict__["version"] = (4, 0)
        with pytest.raises(HelmBusy, match="release r in namespace n: another operation"):
            helm.upgrade(release(charts=str(chart.parent)), UpgradeOptions())


def test_upgrade_names_its_holder_and_the_labels(helm_that, chart, tmp_path):
    log = tmp_path / "log"
    with helm_that(f'[ "$1" = version ] && echo v4.0.0 || echo "$@" > {log}') as helm:
        options = UpgradeOptions(revision=7, create_namespace=False, labels={"meshops.istio/owner": "prod"})
        helm.upgrade(release(charts=str(chart.parent)), options)
    words = log.read_text()
    assert "--labels meshops.istio/owner=prod,meshops.istio=" in words
    assert ",meshops.istio/holder=7." in words
    assert "--create-namespace" not in words
    assert "--skip-crds" in words


@pytest.mark.parametrize("driver", ["configmap", "sql", "memory"])
def test_other_storage_drivers_are_refused(helm_that, monkeypatch, driver):
    monkeypatch.setenv("HELM_DRIVER", driver)
    with pytest.raises(HelmError, match=f"HELM_DRIVER is {driver}"):
        helm_that("true", SomeCluster())
    with helm_that("true"):
        pass  # renders only


@pytest.mark.parametrize(
    ("version", "kube", "asks", "real"),
    [
        ("v3.22.0", "v1.33.5-gke.1080000", True, True),
        ("v3.22.0", "v1.33.5", True, False),
        ("v3.22.0", "v1.33.5-gke.1080000", False, False),
        ("v3.16.0", "v1.33.5-gke.1080000", True, False),
        ("v4.3.1", "v1.33.5-gke.1080000", True, False),
    ],
)
def test_version_suffix_that_helm_drops_is_read_from_the_cluster(helm_that, chart, version, kube, asks, real):
    if asks:
        (chart / "t.yaml").write_text("{{ .Capabilities.KubeVersion }}")
    with helm_that(f'[ "$1" = version ] && echo {version} || echo "$@"', SomeCluster()) as helm:
        words = helm.template(release(charts=str(chart.parent)), RenderOptions(kube))
    assert ("--validate" in words) is real


def test_api_versions_fit_into_arguments(helm_that, chart):
    versions = [f"group{number}.example.com/v1/Kind" for number in range(450)]
    with helm_that('echo "$@"') as helm:
        words = helm.template(release(charts=str(chart.parent)), RenderOptions(api_versions=versions)).split()
    assert words.count("--api-versions") == 3


def test_crds_are_asked_for_only_where_there_may_be_some(helm_that, chart):
    with helm_that('echo "$@"') as helm:
        assert helm.crds(release(charts=str(chart.parent))) == ""
    (chart / "crds").mkdir()
    (chart / "crds" / "a.yaml").write_text("a: 1")
    with helm_that('echo "$@"') as helm:
        assert helm.crds(release(charts=str(chart.parent))).startswith("show crds ")


def test_digests(helm_that, chart):
    package = chart.parent / "base-1.0.0.tgz"
    package.write_bytes(b"package")
    good = "sha256:" + hashlib.sha256(b"package").hexdigest()
    with helm_that("true") as helm:
        assert helm.chart(release(chart="base", charts=str(chart.parent), digest=good)) == str(package)
        with pytest.raises(HelmError, match="it is not the package that was pinned"):
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
    said = pytest.raises(HelmError, match=r"chart base 9 of release r cannot be fetched from oci://x: not found")
    with said, helm_that("echo 'Error: not found' >&2; exit 1") as helm:
        helm.chart(release(chart="base", charts="oci://x", version="9"))


PRIVATE = """echo "$@" >> {log}
[ -n "$HELM_REPOSITORY_CONFIG" ] && cat "$HELM_REPOSITORY_CONFIG" >> {log}.config
[ -n "$HELM_REGISTRY_CONFIG" ] && cat "$HELM_REGISTRY_CONFIG" >> {log}.config
[ "$1" = version ] && echo v3.22.0
while [ $# -gt 0 ]; do [ "$1" = --destination ] && touch "$2/base-1.0.0.tgz"; shift; done; true"""


@pytest.mark.parametrize(
    ("source", "login"),
    [
        ("https://r.example.com", Login("ci", "hunter2", "/ca.pem")),
        ("https://ci:hunter2@r.example.com", Login()),
        ("oci://r.example.com/charts", Login("ci", "hunter2")),
    ],
)
def test_login_of_a_repository_is_on_no_command_line(tmp_path, source, login):
    log, binary = tmp_path / "log", tmp_path / "helm"
    binary.write_text("#!/bin/sh\n" + PRIVATE.format(log=log))
    binary.chmod(0o755)
    with Helm(None, str(binary), login) as helm:
        helm.chart(release(chart="base", charts=source))
    assert "hunter2" not in log.read_text()
    config = (tmp_path / "log.config").read_text()
    assert "hunter2" in config or base64.b64encode(b"ci:hunter2").decode() in config
    assert "hunter2" not in repr(login)


def test_login_is_in_no_error(helm_that, tmp_path):
    (tmp_path / "helm").unlink(missing_ok=True)
    script = "[ \"$1\" = version ] && echo v3.22.0 && exit; echo 'Error: 401 for ci:hunter2' >&2; exit 1"
    with helm_that(script) as helm, pytest.raises(MeshopsError) as error:
        helm.chart(release(chart="base", charts="https://ci:hunter2@r.example.com/x"))
    assert "hunter2" not in str(error.value)
    assert "https://r.example.com/x" in str(error.value)


def test_alias_of_a_repository_is_used(tmp_path, helm_that):
    log = tmp_path / "log"
    script = f"""echo "$@" >> {log}; [ "$1 $2" = "repo list" ] && echo '[{{"name": "corp"}}]'
while [ $# -gt 0 ]; do [ "$1" = --destination ] && touch "$2/base-1.0.0.tgz"; shift; done; true"""
    with helm_that(script) as helm:
        helm.chart(release(chart="base", charts="corp"))
    assert log.read_text().splitlines()[1:][0] == "repo update corp"
    assert "pull corp/base --destination" in log.read_text()


def test_folder_of_a_working_helm_is_not_swept(helm_that, tmp_path, monkeypatch):
    """A run that waits for an hour still needs its charts and its kubeconfig."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with helm_that("true") as working:
        os.utime(working._folder, (time.time() - 7200,) * 2)
        with helm_that("true"):
            assert working._folder.exists()
