# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.istio.proof import config_differences


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
