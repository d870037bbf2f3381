# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import random

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import measure as fault_measure
from ansible_collections.meshops.istio.plugins.module_utils.faults.options import read_fault
from ansible_collections.meshops.istio.plugins.module_utils.faults.report import fault_report, is_share, table


def measured(times, statuses, errors=None, **more):
    times = sorted(times)
    latency = fault_measure.latency(times)
    common = {"url": "http://echo/", "fault": 1, "requests": len(times), "errors": errors or {}}
    return {**common, "statuses": statuses, "latencies_ms": times, "latency_ms": latency, **more}


QUICK = measured([2.0] * 20, {"200": 20})


def judge(during, fault, before=QUICK, after=QUICK, **options):
    one = {"name": "it", "faults": [read_fault(fault)], "before": [before], "during": [during], "after": [after]}
    return fault_report([one], **options)


def test_delay_of_two_seconds_passes_with_latencies_of_two_seconds():
    assert judge(measured([2001.0 + i for i in range(20)], {"200": 20}), {"delay": "2s"})["passed"]


def test_delay_may_end_a_little_early_on_a_busy_envoy():
    during = measured([489.0] + [501.0] * 19, {"200": 20})
    report = judge(during, {"delay": "500ms"})
    assert report["passed"] and "20 of 20 delayed: 489.0 ms to 501.0 ms" in report["rows"][1]["measured"]
    assert not judge(measured([440.0] + [501.0] * 19, {"200": 20}), {"delay": "500ms"})["passed"]


@pytest.mark.parametrize(
    "during",
    [
        measured([2001.0] * 19 + [3.0], {"200": 20}),
        measured([1500.0] * 20, {"200": 20}),
        measured([2400.0] * 20, {"200": 20}),
        measured([2001.0] * 20, {"200": 19}, {"timeout": 1}),
        measured([], {}),
    ],
    ids=["one too early", "all too early", "too late", "one without answer", "nothing sent"],
)
def test_other_delays_fail(during):
    report = judge(during, {"delay": "2s"})
    assert not report["passed"]
    assert [row["phase"] for row in report["rows"] if not row["passed"]] == ["during"]


def test_abort_passes_with_its_status_and_without_it_afterwards():
    teapot = measured([1.0] * 20, {"418": 20})
    assert judge(teapot, {"abort": 418})["passed"]
    assert not judge(measured([1.0] * 20, {"418": 19, "200": 1}), {"abort": 418})["passed"]
    stays = judge(teapot, {"abort": 418}, after=measured([1.0] * 20, {"200": 19, "418": 1}))
    assert [row["phase"] for row in stays["rows"] if not row["passed"]] == ["after"]
    slow = judge(measured([2001.0] * 5, {"200": 5}), {"delay": "2s"}, after=measured([1.0, 2001.0], {"200": 2}))
    assert [row["phase"] for row in slow["rows"] if not row["passed"]] == ["after"]


FAILING = measured([2.0] * 20, {"503": 20})
ABSENT = measured([2.0] * 20, {"404": 20})
SLOW = measured([2500.0] * 20, {"200": 20})


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        (FAILING, FAILING, ["before"]),
        (QUICK, ABSENT, ["after"]),
        (ABSENT, ABSENT, []),
        (ABSENT, QUICK, ["after"]),
        (QUICK, measured([2.0] * 19, {"200": 19}, {"EOF": 1}), ["after"]),
        (SLOW, SLOW, []),
        (SLOW, measured([4600.0] * 20, {"200": 20}), ["after"]),
        (measured([5.0] * 19 + [2600.0], {"200": 20}), measured([5.0] * 19 + [2500.0], {"200": 20}), []),
    ],
    ids=[
        "it fails by itself", "gone since", "never there", "other than before", "no answer", "slow by itself",
        "slow and a delay", "an outlier as before",
    ],
)  # fmt: skip
def test_phase_after_must_equal_phase_before(before, after, wrong):
    report = judge(measured([2001.0] * 20, {"200": 20}), {"delay": "2s"}, before, after)
    assert [row["phase"] for row in report["rows"] if not row["passed"] and row["phase"] != "during"] == wrong


@pytest.mark.parametrize(
    ("percent", "late", "passed"), [(100, 5, True), (100, 10, False), (20, 1, True), (20, 2, False)]
)
def test_few_slow_requests_after_the_test_are_not_a_retained_delay(percent, late, passed):
    met = 20 * percent // 100
    during = measured([501.0] * met + [2.0] * (20 - met), {"200": 20})
    after = measured([2.0] * (20 - late) + [600.0] * late, {"200": 20})
    report = judge(during, {"delay": {"fixedDelay": "500ms", "percentage": percent}}, after=after)
    assert report["passed"] is passed


def test_numbers_given_as_text_are_accepted():
    slow = measured([2450.0] * 20, {"200": 20})
    assert judge(slow, {"delay": "2s"}, tolerance_ms="500", limits={"p99_ms": "3000", "p50_ms": None})["passed"]
    assert not judge(slow, {"delay": "2s"}, tolerance_ms="500", limits={"p99_ms": "2000"})["passed"]
    for limits, passed in (("p99_ms=3000", True), ('{"p99_ms": 2000}', False)):
        assert judge(slow, {"delay": "2s"}, tolerance_ms="500", limits=limits)["passed"] is passed
    wrong = [
        ({"tolerance_ms": "much"}, "fault_injection_tolerance_ms: must be a number, got 'much'"),
        ({"limits": {"p50_ms": "x"}}, "fault_injection_limits.p50_ms: must be a number, got 'x'"),
        ({"limits": {"p95_ms": 1}}, "unknown p95_ms. Known keys: success_percent, p50_ms"),
        ({"limits": "quick"}, "must be a dictionary, got 'quick'"),
    ]
    for options, message in wrong:
        with pytest.raises(MeshopsError, match=message):
            judge(slow, {"delay": "2s"}, **options)
    with pytest.raises(MeshopsError, match="Nothing was tested: set fault_injection_delay"):
        fault_report([])


def test_grpc_status_is_recognised_by_envoys_http_status():
    assert judge(measured([1.0] * 20, {"503": 20}), {"abort": {"grpcStatus": "UNAVAILABLE"}})["passed"]


def test_requests_without_fault_must_show_none():
    assert not judge(measured([1.0] * 20, {"418": 20}, fault=0), {"abort": 418})["passed"]
    assert judge(measured([1.0] * 20, {"200": 20}, fault=0), {"abort": 418})["passed"]


def test_share_may_deviate_by_chance():
    chance = random.Random(1)
    for percent in (5, 30, 50, 90):
        counts = [sum(chance.random() < percent / 100 for _throw in range(200)) for _round in range(200)]
        assert all(is_share(count, 200, percent) for count in counts)
        assert not is_share(int(200 * percent / 100) + 40, 200, percent)
    assert not is_share(199, 200, 100) and is_share(200, 200, 100)
    assert not is_share(0, 0, 50)


@pytest.mark.parametrize(
    ("limits", "passed"),
    [({"success_percent": 90}, False), ({"success_percent": 80, "p50_ms": 5}, True), ({"p99_ms": 1}, False)],
)
def test_limits_fail_the_test(limits, passed):
    during = measured([2.0] * 20, {"503": 4, "200": 16})
    fault = {"abort": {"httpStatus": 503, "percentage": 20}}
    assert judge(during, fault, limits=limits)["passed"] is passed


def test_table_is_aligned_and_marks_failed_rows():
    lines = judge(measured([1.0] * 20, {"200": 20}), {"delay": "2s"})["table"]
    assert lines[0].split() == ["TEST", "PHASE", "REQUEST", "EXPECTED", "MEASURED"]
    assert lines[2].endswith("NOT AS EXPECTED") and lines[1].endswith("  ok")
    column = lines[0].index("EXPECTED")
    assert all(line[column - 1] == " " and line[column] != " " for line in lines)
    assert table([]) == ["TEST  PHASE  REQUEST  EXPECTED  MEASURED"]


def test_chart_counts_every_request_once():
    chart = judge(measured([0.0, 1.0, 1.5, 2001.0], {"200": 4}), {"delay": {"fixedDelay": "2s", "percentage": 25}})[
        "charts"
    ][0]
    assert sum(chart["series"][1]["counts"]) == 4 and len(chart["labels"]) == len(chart["series"][0]["counts"])


@pytest.mark.parametrize(
    ("fault", "url", "errors"),
    [
        ({"abort": "close"}, "tcp://echo:9000", {"EOF": 15, "read: connection reset by peer": 5}),
        ({"abort": {"grpcStatus": "UNAVAILABLE"}}, "grpc://echo:8081", {'HTTP 200, grpc-status "14"': 20}),
        ({"abort": 503}, "grpc://echo:8081", {'HTTP 200, grpc-status "14"': 20}),
    ],
    ids=["closed", "a gRPC status", "an HTTP status that gRPC sees"],
)
def test_abort_is_recognised_by_what_the_client_sees(fault, url, errors):
    quick = measured([1.0] * 20, {"200": 20}, url=url)
    report = judge(measured([1.0] * 20, {}, errors, url=url), fault, before=quick, after=quick)
    assert report["passed"], report["table"]
    some = measured([1.0] * 20, {"200": 1}, {next(iter(errors)): 19}, url=url)
    assert not judge(some, fault, before=quick, after=quick)["passed"]
    other = measured([1.0] * 20, {}, {"timeout": 20}, url=url)
    assert judge(other, fault, before=quick, after=quick)["passed"] is (fault["abort"] == "close")


def test_report_of_a_client_pod_is_one_plain_line():
    nasty = "\x1b[2J{{ 1/0 }}\n!!python/object:x"
    seen = {"requests": 1, "statuses": {}, "errors": {nasty: 1}, "latencies_ms": [1.0], "url": "http://echo/"}
    measured = {**seen, "latency_ms": {"p50": 1.0, "p90": 1.0, "p99": 1.0, "max": 1.0}}
    report = fault_report([{"name": "t", "faults": [], "before": [measured]}])
    texts = [*report["table"], *(str(row["measured"]) for row in report["rows"])]
    assert all(text.isprintable() and "{{" not in text for text in texts)
