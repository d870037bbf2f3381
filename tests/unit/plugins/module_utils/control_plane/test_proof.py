# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import time

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster.errors import ApiError
from ansible_collections.meshops.istio.plugins.module_utils.control_plane import proof
from ansible_collections.meshops.istio.plugins.module_utils.control_plane.proof import (
    NotProven,
    config_differences,
    prove,
)


@pytest.mark.parametrize(
    ("wanted", "running"),
    [
        ({"accessLogFile": "/dev/stdout"}, {"accessLogFile": "/dev/stdout", "more": 1}),
        ({"access_log_file": "x"}, {"accessLogFile": "x"}),
        (
            {"defaultConfig": {"proxyMetadata": {"SOME_NAME": "1"}}},
            {"defaultConfig": {"proxyMetadata": {"SOME_NAME": "1"}}},
        ),
        ({"connectTimeout": "1m"}, {"connectTimeout": "60s"}),
        ({"connectTimeout": "1.5s"}, {"connectTimeout": "1500ms"}),
        ({"enableTracing": False}, {}),
        ({"a": None, "b": {}, "c": []}, {}),
        (
            {"extensionProviders": [{"name": "mine"}]},
            {"extensionProviders": [{"name": "istio's"}, {"name": "mine", "p": 1}]},
        ),
        ({"statusPort": 15020}, {"statusPort": "15020"}),
    ],
)
def test_what_is_the_same_to_istiod(wanted, running):
    assert config_differences(wanted, running) == []


@pytest.mark.parametrize(
    ("wanted", "running", "said"),
    [
        ({"accessLogFile": "x"}, {}, "accessLogFile is not 'x'"),
        ({"accessLogFile": "x"}, {"accessLogFile": "y"}, "accessLogFile is 'y', not 'x'"),
        ({"connectTimeout": "1m"}, {"connectTimeout": "61s"}, "connectTimeout is 61s, not 1m"),
        ({"enableTracing": True}, {}, "enableTracing is not True"),
        ({"a": [1, 2]}, {"a": [1]}, "a has 1 items, not 2"),
        ({"a": [{"name": "n", "b": 1}]}, {"a": [{"name": "n", "b": 2}]}, "a[n].b is 2, not 1"),
        ({"a": [{"name": "n", "b": 1}]}, {"a": [{"name": "m"}]}, "a[n].name is not 'n'"),
    ],
)
def test_what_differs_is_named(wanted, running, said):
    assert said in config_differences(wanted, running)


# -- the injector injects -----------------------------------------------------

INJECTED = {
    "metadata": {},
    "spec": {"initContainers": [{"name": "istio-proxy", "image": "proxyv2:1"}], "containers": [{"name": "proof"}]},
}
RESTRICTED = ApiError('pods "injection-proof-" is forbidden: violates PodSecurity "restricted:latest"', status=403)
UNREACHABLE = ApiError('failed calling webhook "object.sidecar-injector.istio.io": no endpoints', status=500)


class Cluster:
    """Namespaces without labels, and what comes of a pod in each."""

    def __init__(self, **answers):
        self.answers = answers

    def get(self, _kind, name):
        return {"metadata": {"name": name}}

    def create(self, obj, dry_run):
        assert dry_run
        answer = self.answers[obj["metadata"]["namespace"].replace("-", "_")]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def served(monkeypatch):
    """An istiod that serves and runs its mesh config."""
    monkeypatch.setattr(proof, "_version", lambda *_args: "1.31.0")
    monkeypatch.setattr(proof, "_runs_config", lambda *_args: None)


def test_what_an_injector_adds():
    assert prove(Cluster(istio_system=INJECTED), "istio-system", tags=["prod"]) == {
        "version": "1.31.0",
        "proxy_image": "proxyv2:1",
        "warnings": [],
    }


def test_where_one_namespace_refuses_the_pod_another_is_asked():
    found = prove(Cluster(istio_system=RESTRICTED, default=INJECTED), "istio-system")
    assert (found["proxy_image"], found["warnings"]) == ("proxyv2:1", [])


def test_a_policy_that_refuses_the_pod_everywhere_is_named_at_once_and_fails_nothing():
    begun = time.monotonic()
    found = prove(Cluster(istio_system=RESTRICTED, default=RESTRICTED), "istio-system", tags=["prod"])
    assert time.monotonic() - begun < 30
    assert (found["version"], found["proxy_image"]) == ("1.31.0", "")
    (warning,) = found["warnings"]
    assert warning.startswith("it is not proven that the injector injects: namespace istio-system refuses a pod: ")
    assert 'violates PodSecurity "restricted:latest"' in warning


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (UNREACHABLE, "the injector can't be reached: failed calling webhook"),
        ({"metadata": {}, "spec": {"containers": [{"name": "proof"}]}}, "no injector adds a sidecar to a pod with the"),
    ],
)
def test_an_injector_that_does_not_inject(answer, said):
    with pytest.raises(NotProven, match=said):
        prove(Cluster(istio_system=answer), "istio-system", timeout=0)
