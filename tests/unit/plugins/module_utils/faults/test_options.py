# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults.options import closes, read_fault, seconds


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"abort": "close", "delay": "1s"}, "which Istio cannot delay"),
        ({"abort": {"close": False}}, "close: must be true, got False"),
        (
            {"abort": "close", "match": [{"uri": {"exact": "/"}}]},
            "unknown uri. Known keys: destinationSub",
        ),
        ({}, "give delay, abort, or both"),
        ({"delay": "soon"}, "fault.delay.fixedDelay: invalid duration 'soon'"),
        ({"delay": "0s"}, "too short"),
        ({"delay": {"percentage": 50}}, "invalid duration"),
        ({"delay": {"fixedDelay": "1s", "percentage": 0}}, "must be greater than 0"),
        ({"delay": {"fixedDelay": "1s", "percentage": {"value": 101}}}, "at most 100"),
        ({"delay": {"fixedDelay": "1s", "percent": 50}}, "unknown percent. Known keys: fixedDelay, percentage"),
        ({"abort": 99}, "must be a status between 200 and 599, got 99"),
        ({"abort": True}, "must be a status"),
        ({"abort": {"grpcStatus": "NOPE"}}, "invalid status 'NOPE': expected CANCELLED"),
        ({"abort": {"grpcStatus": "UNAVAILABLE", "httpStatus": 503}}, "one of httpStatus, grpcStatus and close"),
        ({"abort": 503, "match": [{"header": {}}]}, r"fault.match\[0\]: unknown header"),
        ({"abort": 503, "match": [{"uri": "/a"}]}, "must be one of exact, prefix and regex"),
        ({"abort": 503, "match": [{"headers": ["x"]}]}, "must be a dictionary of names"),
        ({"abort": 503, "match": [{"port": 0}]}, "must be a port number"),
        ({"abort": 503, "match": [{"sourceLabels": "app=web"}]}, "sourceLabels: must be a dictionary, got 'app=web'"),
        ({"abort": 503, "match": [{"gateways": "mesh"}]}, "gateways: must be a list, got 'mesh'"),
        ({"abort": {"close": True, "percentage": 0.004}}, "at least 0.01 to close connections, got 0.004"),
    ],
)
def test_invalid_fault_is_refused_with_the_name_of_the_option(fault, message):
    with pytest.raises(MeshopsError, match=message):
        read_fault(fault)


@pytest.mark.parametrize(("text", "value"), [("2s", 2), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1.5s", 1.5)])
def test_seconds_of_a_duration(text, value):
    assert seconds(text, "delay") == value


def test_fault_is_read_as_istio_writes_it():
    fault = read_fault({"delay": "2s", "abort": {"httpStatus": "503", "percentage": 12.5}, "match": [{"port": "80"}]})
    assert fault == {
        "match": [{"port": 80}],
        "fault": {
            "delay": {"fixedDelay": "2s", "percentage": {"value": 100}},
            "abort": {"httpStatus": 503, "percentage": {"value": 12.5}},
        },
    }
    assert not closes(fault) and closes(read_fault({"abort": "close"}))
