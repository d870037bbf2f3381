# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import random
import subprocess

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from ansible_collections.meshops.istio.plugins.module_utils.faults import expiry_job as fault_guard
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


def test_a_delay_of_two_seconds_is_seen_as_two_seconds():
    assert judge(measured([2001.0 + i for i in range(20)], {"200": 20}), {"delay": "2s"})["passed"]


def test_an_envoy_that_is_busy_may_end_a_delay_a_little_early():
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
def test_another_delay_is_not_as_expected(during):
    report = judge(during, {"delay": "2s"})
    assert not report["passed"]
    assert [row["phase"] for row in report["rows"] if not row["passed"]] == ["during"]


def test_an_abort_is_seen_by_its_status_and_the_faults_are_over_afterwards():
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
def test_afterwards_it_is_as_it_was_before(before, after, wrong):
    report = judge(measured([2001.0] * 20, {"200": 20}), {"delay": "2s"}, before, after)
    assert [row["phase"] for row in report["rows"] if not row["passed"] and row["phase"] != "during"] == wrong


@pytest.mark.parametrize(
    ("percent", "late", "passed"), [(100, 5, True), (100, 10, False), (20, 1, True), (20, 2, False)]
)
def test_a_few_that_are_late_on_a_busy_machine_are_no_delay_that_has_stayed(percent, late, passed):
    met = 20 * percent // 100
    during = measured([501.0] * met + [2.0] * (20 - met), {"200": 20})
    after = measured([2.0] * (20 - late) + [600.0] * late, {"200": 20})
    report = judge(during, {"delay": {"fixedDelay": "500ms", "percentage": percent}}, after=after)
    assert report["passed"] is passed


def test_what_comes_as_text_is_judged_as_numbers():
    slow = measured([2450.0] * 20, {"200": 20})
    assert judge(slow, {"delay": "2s"}, tolerance_ms="500", limits={"p99_ms": "3000", "p50_ms": None})["passed"]
    assert not judge(slow, {"delay": "2s"}, tolerance_ms="500", limits={"p99_ms": "2000"})["passed"]
    for limits, passed in (("p99_ms=3000", True), ('{"p99_ms": 2000}', False)):
        assert judge(slow, {"delay": "2s"}, tolerance_ms="500", limits=limits)["passed"] is passed
    wrong = [
        ({"tolerance_ms": "much"}, "fault_injection_tolerance_ms: 'much' is no number"),
        ({"limits": {"p50_ms": "x"}}, "fault_injection_limits.p50_ms: 'x' is no number"),
        ({"limits": {"p95_ms": 1}}, "unknown p95_ms; known are success_percent, p50_ms"),
        ({"limits": "quick"}, "wants a dictionary, not 'quick'"),
    ]
    for options, message in wrong:
        with pytest.raises(MeshopsError, match=message):
            judge(slow, {"delay": "2s"}, **options)
    with pytest.raises(MeshopsError, match="nothing was tested: give fault_injection_delay"):
        fault_report([])


def test_a_grpc_status_is_seen_by_the_http_status_that_envoy_makes_of_it():
    assert judge(measured([1.0] * 20, {"503": 20}), {"abort": {"grpcStatus": "UNAVAILABLE"}})["passed"]


def test_requests_that_are_to_meet_no_fault_must_not():
    assert not judge(measured([1.0] * 20, {"418": 20}, fault=0), {"abort": 418})["passed"]
    assert judge(measured([1.0] * 20, {"200": 20}, fault=0), {"abort": 418})["passed"]


def test_a_share_is_judged_as_chance_allows():
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
def test_limits_make_it_a_gate(limits, passed):
    during = measured([2.0] * 20, {"503": 4, "200": 16})
    fault = {"abort": {"httpStatus": 503, "percentage": 20}}
    assert judge(during, fault, limits=limits)["passed"] is passed


def test_the_table_is_aligned_and_says_what_is_wrong():
    lines = judge(measured([1.0] * 20, {"200": 20}), {"delay": "2s"})["table"]
    assert lines[0].split() == ["TEST", "PHASE", "REQUEST", "EXPECTED", "MEASURED"]
    assert lines[2].endswith("NOT AS EXPECTED") and lines[1].endswith("  ok")
    column = lines[0].index("EXPECTED")
    assert all(line[column - 1] == " " and line[column] != " " for line in lines)
    assert table([]) == ["TEST  PHASE  REQUEST  EXPECTED  MEASURED"]


def test_the_chart_counts_every_request_once():
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
def test_an_abort_is_seen_as_the_client_sees_it(fault, url, errors):
    quick = measured([1.0] * 20, {"200": 20}, url=url)
    report = judge(measured([1.0] * 20, {}, errors, url=url), fault, before=quick, after=quick)
    assert report["passed"], report["table"]
    some = measured([1.0] * 20, {"200": 1}, {next(iter(errors)): 19}, url=url)
    assert not judge(some, fault, before=quick, after=quick)["passed"]
    other = measured([1.0] * 20, {}, {"timeout": 20}, url=url)
    assert judge(other, fault, before=quick, after=quick)["passed"] is (fault["abort"] == "close")


def test_what_the_probe_is_told_for_each_kind_of_url():
    ask = {"requests": 3, "parallel": 2, "headers": {"x": "y"}}
    http = fault_measure.probe_command({**ask, "url": "http://echo/"}, 5)
    assert http[:4] == ["probe", "get", "-n", "3"] and http[-1] == "http://echo/" and "-c" in http
    grpc = fault_measure.probe_command({**ask, "url": "grpc://echo:8081"}, 5)
    assert grpc[1] == "grpc" and grpc[-3:] == ["-header", "x: y", "http://echo:8081"] and "-c" not in grpc
    tcp = fault_measure.probe_command({**ask, "url": "tcp://echo:9000"}, 5)
    assert tcp[1] == "tcp" and tcp[-1] == "echo:9000" and "-header" not in tcp
    for wrong in ("echo", "ftp://echo/", "http://"):
        with pytest.raises(MeshopsError, match="is no URL with one of http://, https://, grpc://, tcp://"):
            fault_measure.mode_of(wrong)


def test_what_curl_prints_is_read_as_the_probe_says_it():
    said = fault_measure.read_curl("200 0.002000 0\n503 2.001000 0\n000 10.000100 28\n")
    assert (said["requests"], said["statuses"]) == (3, {"200": 1, "503": 1})
    assert said["errors"] == {"curl exit code 28": 1}
    assert said["latencies_ms"] == [2.0, 2001.0, 10000.1] and said["latency_ms"]["p50"] == 2001.0


def test_curl_numbers_its_requests_where_the_server_does_not_see_it():
    ask = {"url": "http://echo/[x]", "requests": 3, "headers": {"a": "b c"}}
    command = fault_measure.curl_command(ask, 5)
    assert command[-1] == r"http://echo/\[x\]#[1-3]"
    assert command[command.index("--header") + 1] == "a: b c"


def job(**more):
    given = {
        "virtual_service": {"name": "echo", "namespace": "demo"}, "deadline": 10, "image": "proxy",
        "routes": ["http/a", "tcp/b"], "made": ["tcp"], "limit": 3, "leave": [{"op": "remove", "path": "/x"}],
        "stays": [{"op": "test", "path": "/annotation"}], "path": "/apis/x", "delete": False,
        "user": None, **more,
    }  # fmt: skip
    return fault_guard.guard_job(**given)


def test_the_guard_may_touch_one_virtual_service_and_belongs_to_its_job():
    objects = fault_guard.guard_rights(job(), "echo", "the-uid")
    assert [obj["kind"] for obj in objects] == ["ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"]
    assert all(obj["metadata"]["ownerReferences"][0]["uid"] == "the-uid" for obj in objects)
    assert objects[1]["rules"] == [
        {
            "apiGroups": ["networking.istio.io"],
            "resources": ["virtualservices"],
            "resourceNames": ["echo"],
            "verbs": ["get", "patch", "delete"],
        }
    ]
    labels = job()["spec"]["template"]["metadata"]["labels"]
    assert objects[3]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert objects[3]["spec"]["egress"] == [{}], "it reaches the API server where the namespace's pods may not"


@pytest.mark.parametrize("name", ["echo", "a" * 253, "reviews.example.com"])
def test_the_guards_name_is_one(name):
    own = fault_guard.guard_name(name, "demo", 2**33)
    assert len(own) <= 63 - 6 and own == own.lower() and "." not in own


def test_the_image_is_that_of_a_proxy_with_a_shell():
    def pod(image, where="containers"):
        spec = {"containers": [{"name": "app", "image": "app"}], "initContainers": []}
        spec[where].append({"name": "istio-proxy", "image": image})
        return {"spec": spec}

    assert fault_guard.guard_image([pod("proxyv2:1-distroless"), pod("proxyv2:1", "initContainers")]) == "proxyv2:1"
    assert fault_guard.guard_image([pod("proxyv2:1-distroless")]) is None


CURL = r"""#!/bin/sh
# A stand-in that keeps the requests and answers as told.
case " $* " in *" --version "*) exit 0 ;; esac
cat > /dev/null
while [ $# -gt 0 ]; do case $1 in --request) method=$2 ;; --data) data=$2 ;; esac; shift; done
[ -n "$method" ] || { printf %s "$BODY"; exit 0; }
printf '%s %s\n' "$method" "$data" >> "$LOG"
case $method in GET) printf "$GET"; exit 0 ;; esac
case $data in
  *'"path": "/x"'*) printf "$LEFT" ;;
  *'"path": "/annotation"'*) printf "$ANNOTATION" ;;
  *'http/1/name","value":"a"'* | *'tcp/0/route/0/destination/host","value":"b.invalid"'*) printf 200 ;;
  *'"test"'*name* | *'"test"'*host*) printf 422 ;;
  *) printf 200 ;;
esac
"""


OURS = """{
  "metadata": {
    "annotations": {"meshops.istio/fault-injection": "{\\"resourceVersion\\":\\"9\\"}"},
    "resourceVersion": "12",
    "managedFields": [{"f:meshops.istio/fault-injection": {}}]
  }
}"""


def run_guard(tmp_path, answers=(), routes=("http/a", "tcp/b"), probe=False, **more):
    curl = tmp_path / "curl"
    curl.write_text(CURL)
    curl.chmod(0o755)
    container = job(routes=list(routes), **more)["spec"]["template"]["spec"]["containers"][0]
    environment = {one["name"]: one["value"] for one in container["env"]}
    environment |= {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    environment |= {"GET": "200", "BODY": "", "LEFT": "200", "ANNOTATION": "422", **dict(answers)}
    command = container["startupProbe"]["exec"]["command"] if probe else container["command"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    return ran, (tmp_path / "log").read_text().splitlines()


def test_the_guard_looks_for_each_route_and_leaves_the_metadata_last(tmp_path):
    ran, requests = run_guard(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["removed http/a", "removed tcp/b", "/spec/tcp: 200", "leave: 200"]
    assert len(requests) == 2 + 1 + 1 + 1
    assert requests[-1] == 'PATCH [{"op": "remove", "path": "/x"}]'
    assert '"op":"test","path":"/spec/http/1/name","value":"a"' in requests[1]


def test_the_guard_deletes_what_was_made_for_the_faults(tmp_path):
    ran, requests = run_guard(tmp_path, {"BODY": OURS}, delete=True)
    assert (ran.returncode, [r.split()[0] for r in requests]) == (0, ["GET", "DELETE"])
    assert requests[1] == 'DELETE {"preconditions":{"resourceVersion":"12"}}'


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"BODY": OURS.replace('"meshops.istio/fault-injection"', '"a"')}, 0),
        ({"BODY": ""}, 0),
        ({"GET": "404"}, 0),
        ({"GET": "500"}, 1),
        ({"GET": "000"}, 1),
    ],
    ids=["taken by others", "empty", "deleted already", "refused", "no answer"],
)
def test_the_guard_deletes_nothing_that_is_not_its_own(tmp_path, answers, code):
    ran, requests = run_guard(tmp_path, {"BODY": OURS, **answers}, delete=True)
    assert (ran.returncode, [r.split()[0] for r in requests]) == (code, ["GET"])


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"LEFT": "422", "ANNOTATION": "200"}, 1),
        ({"LEFT": "422", "ANNOTATION": "422"}, 0),
        ({"LEFT": "422", "ANNOTATION": "404"}, 0),
        ({"LEFT": "422", "ANNOTATION": "500"}, 1),
        ({"LEFT": "200"}, 0),
    ],
    ids=["faults that it did not find", "faults never came", "deleted since", "no answer", "only the metadata left"],
)
def test_the_guard_is_not_done_while_the_annotation_says_that_faults_are_there(tmp_path, answers, code):
    ran, _requests = run_guard(tmp_path, answers, routes=["http/elsewhere"])
    assert ran.returncode == code, ran.stdout
    ran, _requests = run_guard(tmp_path, {"LEFT": "422", "ANNOTATION": "200"})
    assert ran.returncode == 0, "it has removed the routes, and somebody has written since"


@pytest.mark.parametrize(("get", "code"), [("200", 0), ("404", 0), ("403", 1), ("000", 1)])
def test_the_guard_has_started_when_it_has_reached_the_api_server(tmp_path, get, code):
    ran, requests = run_guard(tmp_path, {"GET": get}, probe=True)
    assert ran.returncode == code and [r.split()[0] for r in requests] == ["GET"]
    assert (f"HTTP {get}" in ran.stdout) is (code == 1)


def test_what_a_client_pod_reports_is_one_plain_line():
    nasty = "\x1b[2J{{ 1/0 }}\n!!python/object:x"
    seen = {"requests": 1, "statuses": {}, "errors": {nasty: 1}, "latencies_ms": [1.0], "url": "http://echo/"}
    measured = {**seen, "latency_ms": {"p50": 1.0, "p90": 1.0, "p99": 1.0, "max": 1.0}}
    report = fault_report([{"name": "t", "faults": [], "before": [measured]}])
    texts = [*report["table"], *(str(row["measured"]) for row in report["rows"])]
    assert all(text.isprintable() and "{{" not in text for text in texts)
