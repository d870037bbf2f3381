# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the operator's process finds its API server."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
from ansible_collections.meshops.istio.extensions.operator import __main__ as main


def test_a_kubeconfig_of_the_environment_is_used(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/some/where")
    assert main.kubeconfig() == "/some/where"


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_the_pods_account_is_used_by_reference(host, server, monkeypatch, tmp_path):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(main, "_KUBECONFIG", tmp_path / "kubeconfig")
    path = pathlib.Path(main.kubeconfig())
    config = json.loads(path.read_text())
    assert config["clusters"][0]["cluster"]["server"] == server
    assert config["users"][0]["user"] == {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}
    assert os.stat(path).st_mode & 0o777 == 0o600
