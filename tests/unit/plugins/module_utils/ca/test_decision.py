# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which CA a run goes to."""

from __future__ import annotations

import dataclasses
import datetime
import functools

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import authority
from ansible_collections.meshops.istio.plugins.module_utils.ca.decision import Generate, Keep, Options, Use, decide
from ansible_collections.meshops.istio.plugins.module_utils.ca.gate import Reason
from ansible_collections.meshops.istio.plugins.module_utils.ca.present import Present

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)


@functools.cache
def bundle(name):
    return authority.generated(authority.CaSpec(trust_domains=(name,)), NOW)


A, B = bundle("a"), bundle("b")
RUNS = Present(A, plugged=True, watched=True, control_planes=1)
OWN = Present(A, control_planes=1)
UNDER_WAY = dataclasses.replace(RUNS, following=B, previous=A)


@pytest.mark.parametrize(
    ("action", "present", "brought", "decision"),
    [
        ("install", Present(None), None, Generate()),
        ("install", Present(None), B, Use(B)),
        ("install", RUNS, None, Keep()),
        ("install", RUNS, A, Keep()),
        ("install", OWN, None, Generate(other_than=A.root)),
        ("rotate", RUNS, None, Generate(other_than=A.root)),
        ("rotate", RUNS, B, Use(B)),
        ("rotate", RUNS, A, Keep()),
        ("rotate", UNDER_WAY, None, Use(B)),
        ("rotate", UNDER_WAY, B, Use(B)),
        ("install", UNDER_WAY, None, Use(B)),
        ("renew", RUNS, None, Generate(under=A)),
        ("renew", RUNS, A, Keep()),
    ],
)
def test_decide(action, present, brought, decision):
    assert decide(action, present, brought) == decision


@pytest.mark.parametrize(
    ("action", "present", "brought", "reason"),
    [
        ("install", RUNS, B, Reason.OTHER_CA_IN_USE),
        ("rotate", Present(None, control_planes=1), None, Reason.EXTERNAL_CA),
        ("install", Present(None, control_planes=1), B, Reason.EXTERNAL_CA),
        ("rotate", Present(None), None, Reason.NO_CONTROL_PLANE),
        ("renew", Present(A, plugged=True), None, Reason.NO_CONTROL_PLANE),
        ("renew", OWN, None, Reason.SELF_SIGNED),
        ("renew", RUNS, B, Reason.WRONG_ACTION),
        ("renew", UNDER_WAY, None, Reason.ROTATION_UNDER_WAY),
        ("rotate", UNDER_WAY, A, Reason.ROTATION_UNDER_WAY),
    ],
)
def test_decide_refuses(action, present, brought, reason):
    assert decide(action, present, brought).obstacle.reason is reason


def test_options_come_from_a_modules_parameters():
    params = {
        "action": "rotate",
        "root_dir": None,
        "trust_domains": None,
        "source": "generated",
        "files": {"ca_key": "x"},
    }
    options = Options.from_params({**params, "accept_shared_root": True, "kubeconfig": "/k"})
    assert (options.root_dir, options.trust_domains, options.files, options.accept_shared_root) == ("", (), {}, True)
    assert Options.from_params({**params, "source": "files"}).files == {"ca_key": "x"}
    assert "a-key" not in repr(Options.from_params({**params, "root_key": "a-key"}))
