# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the lab takes nodes, images and charts from: what is published where it answers, else what is built."""

from __future__ import annotations

import contextlib
import http.server
import pathlib
import socket
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "lab"))


@pytest.fixture
def source(tmp_path, monkeypatch):
    import dockerd
    import home
    import source

    monkeypatch.setattr(home, "HOME", tmp_path)
    monkeypatch.setattr(dockerd, "grantable", lambda capability: True)
    monkeypatch.setattr(source, "PATIENCE", 30)
    return source


@contextlib.contextmanager
def serving(code: int):
    """A server on 127.0.0.1 that answers everything alike; gives HOST:PORT and the paths it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def mirrors(registry: str, charts: str, **more: str) -> dict[str, str]:
    return {"MESHOPS_LAB_REGISTRY": registry, "MESHOPS_LAB_CHARTS": charts, **more}


def test_what_is_published_is_taken_where_it_answers(source, capsys):
    """A registry that wants a token answers, too."""
    with serving(401) as (registry, asked), serving(200) as (repository, files):
        found = source.chosen(mirrors(registry, f"http://{repository}/istio"))
    assert found == source.Source(registry, f"http://{repository}/istio")
    assert (asked, files) == (["/v2/"], ["/istio/index.yaml"])
    assert f"takes registry {registry}" in capsys.readouterr().err


def test_where_one_of_the_two_is_silent_all_is_built(source, capsys, monkeypatch):
    monkeypatch.setattr(source, "PATIENCE", 2)
    with socket.socket() as deaf, serving(200) as (registry, _asked):
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        charts = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        assert source.chosen(mirrors(registry, charts)) == source.PACKAGES
    said = capsys.readouterr().err
    assert f"takes packages: {charts}/index.yaml can't be reached" in said
    assert "MESHOPS_LAB_SOURCE" in said


def test_a_web_server_is_no_registry(source):
    with serving(404) as (registry, _asked), serving(200) as (repository, _files):
        assert source.chosen(mirrors(registry, f"http://{repository}")) == source.PACKAGES


def test_the_answer_is_kept_as_long_as_the_addresses_are_the_same(source):
    with serving(200) as (registry, asked):
        environment = mirrors(registry, f"oci://{registry}/charts")
        first = source.chosen(environment)
        assert source.chosen(environment) == first
        assert asked == ["/v2/"]  # charts and images are at one address: one question
    assert source.chosen(environment) == first
    with serving(200) as (registry, asked):
        assert source.chosen(mirrors(registry, f"oci://{registry}/charts")).registry == registry
        assert asked


def test_a_kernel_that_cannot_run_the_published_node(source, monkeypatch, capsys):
    monkeypatch.setattr("dockerd.grantable", lambda capability: False)
    with serving(200) as (registry, _asked):
        assert source.chosen(mirrors(registry, f"oci://{registry}/charts")) == source.PACKAGES
    assert "CAP_SYS_RESOURCE" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["registry", "packages"])
def test_what_is_said_is_not_asked(source, monkeypatch, way):
    monkeypatch.setattr(source, "ask", lambda urls: pytest.fail(f"asked {urls}"))
    found = source.chosen({"MESHOPS_LAB_SOURCE": way})
    assert bool(found.registry) == (way == "registry")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MESHOPS_LAB_SOURCE": "cloud"}, "MESHOPS_LAB_SOURCE is 'cloud'; it may be auto, registry or packages"),
        ({"MESHOPS_LAB_REGISTRY": "https://r.example.com"}, "without a scheme"),
        ({"MESHOPS_LAB_CHARTS": "r.example.com/charts"}, "has to begin with https://, http:// or oci://"),
    ],
)
def test_bad_words_are_refused(source, environment, message):
    from home import LabError

    with pytest.raises(LabError, match=message):
        source.chosen(environment)


def test_public_names_lead_to_the_hosts_that_answer(source):
    public = source.chosen({"MESHOPS_LAB_SOURCE": "registry"})
    assert source.addresses(public) == [
        "https://registry-1.docker.io/v2/",
        "https://istio-release.storage.googleapis.com/charts/index.yaml",
    ]
    assert source.registry_address("r.example.com:5000/mirror") == "https://r.example.com:5000/v2/"


def test_a_cluster_remembers_what_it_was_made_of(source, tmp_path):
    assert source.kept(tmp_path) == source.PACKAGES
    made_of = source.Source("r.example.com", "oci://r.example.com/charts")
    source.keep(made_of, tmp_path)
    assert source.kept(tmp_path) == made_of


def test_images_and_charts_have_their_published_names(source):
    from published import chart, hub, istio, node

    public = source.chosen({"MESHOPS_LAB_SOURCE": "registry"})
    assert hub(public) == "docker.io/istio"
    assert [step.result.name for step in istio("1.31.0", public)] == [
        "docker.io/istio/pilot:1.31.0", "docker.io/istio/proxyv2:1.31.0", "docker.io/istio/install-cni:1.31.0",
    ]  # fmt: skip
    assert node(public).result.name.startswith("docker.io/kindest/node:v1.34.")
    assert chart("base", public.charts) == ["base", "--repo", public.charts]
    assert chart("base", "oci://r.example.com/x") == ["oci://r.example.com/x/base"]
    assert chart("base", "oci://127.0.0.1:5000/x") == ["oci://127.0.0.1:5000/x/base", "--plain-http"]
