# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connection options, what of a kubeconfig is secret, and who is impersonated."""

from __future__ import annotations

import doctest

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.cluster import auth


def test_the_examples_of_docstrings():
    done = doctest.testmod(auth)
    assert done.attempted
    assert not done.failed


def test_options_come_from_parameters_and_else_from_the_environment(monkeypatch):
    for name in auth._ENVIRONMENT.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("K8S_AUTH_CONTEXT", "from-the-environment")
    monkeypatch.setenv("K8S_AUTH_VERIFY_SSL", "no")
    monkeypatch.setenv("K8S_AUTH_IMPERSONATE_GROUPS", "a,b")
    found = auth.options({"context": "mine", "validate_certs": None})
    assert found == {"context": "mine", "validate_certs": False, "impersonate_groups": ["a", "b"]}


def test_names_that_users_of_kubernetes_core_and_kubectl_know():
    spec = auth.connection_spec()
    assert "api_host" in spec["host"]["aliases"]
    assert "kube_context" in spec["context"]["aliases"]


def test_what_is_secret_in_a_kubeconfig():
    user = {"token": "t0ken", "exec": {"command": "login", "env": [{"name": "A", "value": "s3cret"}]}}
    config = {"users": [{"name": "me", "user": user}], "clusters": [{"cluster": {"server": "https://a"}}]}
    assert set(auth.secrets(config)) == {"t0ken", "A", "s3cret"}
    assert list(auth.secrets("/path/of/a/file")) == []


def test_an_impersonation_has_a_header_for_each_group_and_value():
    who = {"as": "me", "as-groups": ["a", "b"], "as-user-extra": {"scopes/x": ["1", "2"]}}
    assert auth.identity_headers(who) == [
        ("Impersonate-User", "me"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-scopes/x", "1"),
        ("Impersonate-Extra-scopes/x", "2"),
    ]


@pytest.mark.parametrize(("context", "token"), [(None, "first"), ("second", "second")])
def test_the_user_is_that_of_the_context(context, token):
    config = {
        "current-context": "first",
        "contexts": [{"name": n, "context": {"user": n, "cluster": n}} for n in ("first", "second")],
        "users": [{"name": n, "user": {"token": n}} for n in ("first", "second")],
        "clusters": [{"name": n, "cluster": {"server": f"https://{n}"}} for n in ("first", "second")],
    }
    options = {"kubeconfig": config, "context": context}
    assert auth.kubeconfig_user(options) == {"token": token}
    assert auth.kubeconfig_cluster(options) == {"server": f"https://{token}"}


def test_with_a_host_no_kubeconfig_is_read(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/does/not/exist")
    assert auth.kubeconfig_user({"host": "https://a"}) == {}
