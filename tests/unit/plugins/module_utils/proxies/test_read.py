# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a proxy answers about its certificates."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.proxies import read
from fakes.ca_status import bundle


def dump(encode):
    return json.dumps(
        {
            "configs": [
                {"name": "ROOTCA", "secret": {"validation_context": {"trusted_ca": encode(bundle().roots)}}},
                {"name": "default", "secret": {"tls_certificate": {"certificate_chain": encode(bundle().chain)}}},
                {"name": "kubernetes://other", "secret": {"tls_certificate": {}}},
            ]
        }
    )


@pytest.mark.parametrize(
    "encode",
    [lambda text: {"inline_bytes": base64.b64encode(text.encode()).decode()}, lambda text: {"inline_string": text}],
)
def test_what_a_proxy_answers(encode):
    held = read.held_by_proxy(f"{dump(encode)}\n--- root-cert.pem\n# comment\n{bundle().roots}")
    assert held["roots"] == held["mounted"] == {bundle().root.fingerprint}
    assert held["chain"] == (bundle().signer, bundle().root)


def test_a_proxy_without_certificates_or_without_a_shell():
    assert read.held_by_proxy('{"configs": []}') == {"mounted": None}
