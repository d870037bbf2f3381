# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible_collections.meshops.istio.plugins.module_utils.traffic.access_log import (
    LABEL,
    NAME,
    SECONDS,
    logging_filter,
)

MARK = f"{NAME}-1"


def test_requests_and_connections_are_logged_beside_what_is_logged_already():
    patches = logging_filter("demo", MARK, plain_text_only=True)["spec"]["configPatches"]
    assert [p["patch"]["operation"] for p in patches] == ["MERGE", "MERGE"]
    (log,) = patches[0]["patch"]["value"]["typed_config"]["access_log"]
    assert log["filter"]["extension_filter"]["typed_config"]["expression"] == "!connection.mtls"
    every = logging_filter("demo", MARK)["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]
    assert "filter" not in every["access_log"][0]
    assert every["access_log_options"] == {"flush_access_log_on_new_request": True}
    tcp = logging_filter("demo", MARK, seconds=15)["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]
    assert tcp["access_log_options"] == {"flush_access_log_on_connected": True, "access_log_flush_interval": "5s"}


def test_the_filter_has_the_runs_own_name_and_says_how_long_it_is_needed():
    meta = logging_filter("demo", MARK, seconds=15, lifetime=195)["metadata"]
    assert meta["name"] == MARK and meta["labels"] == {LABEL: "true"} and meta["annotations"] == {SECONDS: "195"}


def test_the_formatter_that_removes_queries_is_configured():
    value = logging_filter("demo", MARK)["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]
    (formatter,) = value["access_log"][0]["typed_config"]["log_format"]["formatters"]
    assert formatter["name"] == "envoy.formatter.req_without_query"
