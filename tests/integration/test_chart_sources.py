# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Istio's charts from a container registry, from a Helm repository and from a directory are the same charts."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import os
import pathlib
import re
import subprocess
import sys
import threading

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN

BIN = pathlib.Path(sys.executable).parent  # the environment that the tests run in
PROBE = pathlib.Path(__file__).parents[2] / "charts/probe"
ROLES = pathlib.Path(__file__).parents[2] / "roles"
TRAITS = ("namespace", "revision", "platform")
VERSION = "1.31.0"
INVENTORY = """\
all:
  hosts:
    here: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


@pytest.fixture(scope="module")
def sources(lab, api_server):
    """The three places, by what they are called in a playbook."""
    with lab.registry("charts") as registry, lab.helm_repository(api_server["LAB_CHARTS"]) as repository:
        yield {
            "directory": api_server["LAB_CHARTS"],
            "registry": registry["LAB_REGISTRY_CHARTS"],
            "repository": repository,
        }


@pytest.fixture(params=["LAB_HELM4", "LAB_HELM3"])
def run(request, api_server, tmp_path):
    """Runs a playbook of the collection, or tasks, with one of the two helms; gives what it printed."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/helm").symlink_to(api_server[request.param])
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}

    def play(playbook: object, fails: bool = False, verbosity: int = 0, **variables: object) -> str:
        (tmp_path / "variables.yml").write_text(yaml.safe_dump(variables))
        if not isinstance(playbook, str):
            (tmp_path / "play.yml").write_text(yaml.safe_dump([playbook]))
            playbook = "play.yml"
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", "hosts.yml", playbook, "-e", "@variables.yml"],
            cwd=tmp_path, env={**environment, "ANSIBLE_VERBOSITY": str(verbosity)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return play


def render(run, place: pathlib.Path, charts: str, **more) -> str:
    variables = {"render_dir": str(place), "control_plane_charts": charts, "control_plane_profile": "demo", **more}
    return run("meshops.istio.render", **variables)


def contents(place: pathlib.Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir()}


def test_they_render_to_the_same_manifests(run, sources, tmp_path):
    """With a version, and without: then the newest that there is."""
    for name, charts in sources.items():
        render(run, tmp_path / name, charts, control_plane_version=VERSION)
    expected = contents(tmp_path / "directory")
    assert "istio-system.istiod.yaml" in expected
    for name, charts in sources.items():
        assert contents(tmp_path / name) == expected, name
        assert "changed=0" in render(run, tmp_path / name, charts), name


def test_all_that_site_yml_installs_is_rendered(run, sources, tmp_path):
    """Gateways, whose chart is pinned as well, further releases, and the namespaces that helm would make."""
    probe = {"name": "probe", "namespace": "demo", "chart": str(PROBE), "values": {"image": "localhost/probe:1"}}
    more = {"gateways_list": [{"name": "edge", "namespace": "edge"}], "site_releases": [probe]}
    wrong = {"gateway": "sha256:" + "0" * 64}
    text = render(run, tmp_path / "out", sources["directory"], control_plane_digests=wrong, fails=True, **more)
    assert "chart gateway of release edge has the digest sha256:" in text
    render(run, tmp_path / "out", sources["directory"], **more)
    first = {name: yaml.safe_load(text.split("---\n")[1])["kind"] for name, text in contents(tmp_path / "out").items()}
    assert {name for name, kind in first.items() if kind == "Namespace"} == {
        "istio-system.istio-base.yaml",
        "edge.edge.yaml",
        "demo.probe.yaml",
    }
    assert set(first) == {
        "istio-system.istio-base.yaml",
        "istio-system.istiod.yaml",
        "edge.edge.yaml",
        "demo.probe.yaml",
    }


def test_gateways_belong_to_the_control_plane_that_a_document_declares(run, sources, tmp_path):
    """Namespace, revision and platform, as the role gateways has them of site.yml's control plane."""
    values = {"global": {"istioNamespace": "mesh"}}
    spec = {"profile": "openshift", "revision": "1-31", "values": values}
    document = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec}
    (tmp_path / "mesh.yaml").write_text(yaml.safe_dump(document))
    variables = {"control_plane_istio_operator": str(tmp_path / "mesh.yaml"), "gateways_list": [{"name": "edge"}]}
    variables |= {"control_plane_profile": None}
    render(run, tmp_path / "out", sources["directory"], **variables)
    assert deployment(tmp_path / "out/mesh.edge.yaml") == ("mesh", "1-31")
    assert traits(run, **variables) == ["mesh 1-31 openshift"] * 2

    own = {"gateways_namespace": "edge", "gateways_revision": "prod", "gateways_platform": ""}
    render(run, tmp_path / "out", sources["directory"], **variables, **own)
    assert deployment(tmp_path / "out/edge.edge.yaml") == ("edge", "prod")
    assert traits(run, **variables, **own) == ["edge prod "] * 2

    wrong = {**variables, "control_plane_revision": "1-30"}
    text = render(run, tmp_path / "out", sources["directory"], fails=True, **wrong)
    assert "revision is 1-30, and the IstioOperator document has 1-31 (spec.revision)" in text


def deployment(path: pathlib.Path) -> tuple[str, str]:
    """Namespace and revision of a gateway."""
    (found,) = [obj for obj in yaml.safe_load_all(path.read_text()) if obj and obj["kind"] == "Deployment"]
    return found["metadata"]["namespace"], found["spec"]["template"]["metadata"]["labels"]["istio.io/rev"]


def traits(run, **variables) -> list[str]:
    """What the roles render and adopt say of gateways."""
    files = [str(path) for role in ("render", "adopt") for path in sorted((ROLES / role).glob("*/main.yml"))]
    files = [path for path in files if "/vars/" in path or "/adopt/defaults/" in path]
    names = [f"{prefix}_{name}" for prefix in ("render_gateways", "adopt") for name in TRAITS]
    text = "|".join(" ".join("{{ " + name + " }}" for name in names[start : start + 3]) for start in (0, 3))
    tasks: list[dict] = [{"ansible.builtin.include_vars": path} for path in files]
    tasks.append({"ansible.builtin.debug": {"msg": f"<{text}>"}})
    said = run({"hosts": "all", "gather_facts": False, "tasks": tasks}, **variables)
    return re.search("<(.*)>", said)[1].split("|")


@pytest.fixture
def istiod_digests(sources, api_server, tmp_path):
    """The digests of the chart istiod: its package's, and as helm pull shows it, its manifest's."""
    package = pathlib.Path(api_server["LAB_CHARTS"], f"istiod-{VERSION}.tgz").read_bytes()
    done = subprocess.run(
        [api_server["LAB_HELM4"], "pull", f"{sources['registry']}/istiod", "--version", VERSION, "--plain-http",
         "--destination", tmp_path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    manifest = re.search(r"Digest: (sha256:\w+)", done.stdout + done.stderr)[1]
    return {"package": f"sha256:{hashlib.sha256(package).hexdigest()}", "manifest": manifest}


@pytest.mark.parametrize(
    ("source", "which"), [("registry", "package"), ("registry", "manifest"), ("repository", "package")]
)
def test_a_chart_may_be_pinned_to_its_digest(run, sources, istiod_digests, tmp_path, source, which):
    digests = {"istiod": istiod_digests[which]}
    render(run, tmp_path / "out", sources[source], control_plane_digests=digests)
    assert "istio-system.istiod.yaml" in contents(tmp_path / "out")


@pytest.mark.parametrize("source", ["registry", "repository"])
def test_another_digest_is_an_error_before_anything_is_written(run, sources, tmp_path, source):
    wrong = "sha256:" + "0" * 64
    text = render(run, tmp_path / "out", sources[source], control_plane_digests={"istiod": wrong}, fails=True)
    assert "chart istiod of release istiod has the digest sha256:" in text
    assert f"not {wrong}: it is not the package that was pinned" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", ["registry", "repository"])
def test_a_version_that_is_not_there(run, sources, tmp_path, source):
    text = render(run, tmp_path / "out", sources[source], control_plane_version="1.2.3", fails=True)
    assert f"chart base 1.2.3 of release istio-base cannot be fetched from {sources[source]}" in text
    assert not (tmp_path / "out").exists()


def test_a_release_stays_the_same_wherever_its_chart_comes_from(run, sources, cluster, kubeconfig, namespace):
    """Installed on a real API server out of the registry; the other two places then have nothing to change."""
    release = {"name": "gateway", "chart": "gateway", "namespace": namespace, "version": VERSION}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"meshops.istio.releases": {"releases": [release], "charts": "{{ charts }}", "kubeconfig": kubeconfig,
                                        "wait": False}},
        ],
    }  # fmt: skip
    assert "changed=1" in run(play, charts=sources["registry"])
    assert [d["metadata"]["name"] for d in cluster.list(KNOWN["apps", "Deployment"], namespace)] == ["gateway"]
    for name, charts in sources.items():
        assert "changed=0" in run(play, charts=charts), name
    release["version"] = "~1.31.0"
    for name in ("registry", "repository"):
        assert "changed=0" in run(play, charts=sources[name]), name


def test_values_and_logins_are_in_no_log(run, api_server, tmp_path):
    """With -vvv Ansible prints what modules were called with, and AWX keeps it."""
    release = {"name": "r", "namespace": "default", "chart": str(PROBE), "values": {"image": "hunter2-value"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "hunter2-secret"}}
    release["objects"] = [secret]
    login = {"charts_username": "ci", "charts_password": "hunter2-login"}
    tasks = [
        {"meshops.istio.manifests": {"dest": str(tmp_path / "out"), "releases": [release], **login}},
        {
            "meshops.istio.releases": {"kubeconfig": api_server["KUBECONFIG"], "releases": [release], **login},
            "check_mode": True,
        },
    ]
    text = run({"hosts": "all", "gather_facts": False, "tasks": tasks}, verbosity=3)
    assert "invocation" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("in_address", [False, True])
def test_charts_of_a_private_repository(run, api_server, tmp_path, in_address):
    class Private(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            expected = "Basic " + base64.b64encode(b"ci:hunter2").decode()
            if self.headers.get("Authorization") != expected:
                self.send_error(401)
            else:
                super().do_GET()

        def log_message(self, *_arguments):
            pass

    folder = tmp_path / "repository"
    folder.mkdir()
    helm = api_server["LAB_HELM4"]
    subprocess.run([helm, "package", str(PROBE), "-d", str(folder)], check=True, capture_output=True)
    handler = functools.partial(Private, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        subprocess.run([helm, "repo", "index", str(folder)], check=True, capture_output=True)
        release = {"name": "r", "namespace": "demo", "chart": "probe", "values": {"image": "localhost/probe:1"}}
        release["charts"] = f"http://ci:hunter2@{address}" if in_address else f"http://{address}"
        options = {"dest": str(tmp_path / "out"), "releases": [release]}
        login = {} if in_address else {"charts_username": "ci", "charts_password": "hunter2"}
        task = {"meshops.istio.manifests": {**options, **login}}
        run({"hosts": "all", "gather_facts": False, "tasks": [task]})
        assert (tmp_path / "out/demo.r.yaml").exists()

        release["charts"] = f"http://ci:wrong-one@{address}"
        text = run({"hosts": "all", "gather_facts": False, "tasks": [{"meshops.istio.manifests": options}]}, fails=True)
        assert f"http://{address}" in text
        assert "wrong-one" not in text
        server.shutdown()
