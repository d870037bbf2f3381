# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compares what a fault test measured with what its faults should do: rows for a table, each passed or failed."""

from __future__ import annotations

import math
import typing as t

from ansible.module_utils.common.validation import check_type_dict

from ..errors import MeshopsError
from ..mesh.option_values import read_number
from ..mesh.untrusted import printable
from .options import seconds

#: The HTTP status that Envoy returns to a plain HTTP client for a gRPC status.
_HTTP_OF_GRPC = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
#: The gRPC status that a gRPC client sees for an HTTP status of Envoy.
_GRPC_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
#: A share is as expected within this many standard deviations: 1 of 15000 good measurements falls outside.
_DEVIATIONS = 4
#: Envoy's timer counts from when its event loop woke up, which on a busy machine is some time before the delayed
#: request (envoyproxy/envoy pull request 12414): a delay may be shorter by this share of it, or by this time.
_EARLY_SHARE, _EARLY_MS = 0.05, 2.0
#: The share of the requests that a delay would affect which must be slow to prove it: on a machine that is busy for a
#: moment, the requests in flight are slow, too.
_HALF = 0.5
_PHASES = ("before", "during", "after")
_LIMITS = ("success_percent", "p50_ms", "p90_ms", "p99_ms")


def fault_report(
    tests: t.Sequence[t.Mapping[str, t.Any]],
    tolerance_ms: float | str = 300,
    limits: t.Mapping[str, float | str] | str | None = None,
) -> dict[str, t.Any]:
    """Judges fault tests.

    Without faults, every request must be answered. The measurement afterwards is compared with the one before.

    :param tests: each C(name), C(faults) (as the module returns them), and C(before), C(during), C(after): the
        module's C(measured)
    :param tolerance_ms: by how much the median of the delayed requests may exceed the delay
    :param limits: requirements during the faults: at least C(success_percent) (answers below 500), at most
        C(p50_ms), C(p90_ms) and C(p99_ms)
    :returns: C(rows) (test, phase, request, expected, measured, passed), C(passed), C(table) (lines of text),
        and C(charts) (bars of the latencies, for the HTML report)
    :raises MeshopsError: there is nothing to judge, or tolerance or limits are not numbers
    """
    if not tests:
        raise MeshopsError(
            "Nothing was tested: set fault_injection_delay, fault_injection_abort or fault_injection_faults"
        )
    tolerance, bounds = fault_limits(tolerance_ms, limits)
    rows = []
    for test in tests:
        before = test.get("before") or []
        for phase in _PHASES:
            for place, measured in enumerate(test.get(phase) or []):
                usual = before[place] if phase != "before" and place < len(before) else None
                for expected, seen, passed in _judge(test["faults"], phase, measured, tolerance, bounds, usual):
                    about = {"test": test["name"], "phase": phase, "request": measured["url"]}
                    rows.append({**about, "expected": expected, "measured": seen, "passed": passed})
    return {
        "rows": rows,
        "passed": bool(rows) and all(row["passed"] for row in rows),
        "table": table(rows),
        "charts": [_chart(test) for test in tests],
    }


def fault_limits(
    tolerance_ms: float | str, limits: t.Mapping[str, float | str] | str | None
) -> tuple[float, dict[str, float]]:
    """The tolerance and the limits as numbers; C(-e) and roles may pass them as text.

    :raises MeshopsError: a value is not a number, or a limit is unknown
    """
    try:
        given = check_type_dict(limits or {})
    except TypeError:
        raise MeshopsError(f"fault_injection_limits: must be a dictionary, got {limits!r}") from None
    found = {}
    for name, value in given.items():
        if name not in _LIMITS:
            raise MeshopsError(f"fault_injection_limits: unknown {name}. Known keys: {', '.join(_LIMITS)}")
        if value is not None:
            found[name] = _number(value, f"fault_injection_limits.{name}")
    return _number(tolerance_ms, "fault_injection_tolerance_ms"), found


def _number(value: t.Any, option: str) -> float:
    number = read_number(value)
    if number is None:
        raise MeshopsError(f"{option}: must be a number, got {value!r}")
    return number


def _judge(
    faults: t.Sequence[dict[str, t.Any]],
    phase: str,
    measured: t.Mapping[str, t.Any],
    tolerance_ms: float,
    limits: t.Mapping[str, float],
    before: t.Mapping[str, t.Any] | None,
) -> t.Iterator[tuple[str, str, bool]]:
    number = measured.get("fault", 1)
    fault = faults[number - 1]["fault"] if phase == "during" and number else {}
    every = [f["fault"] for f in faults]
    total, times = measured["requests"], measured["latencies_ms"]
    errors = sum(measured["errors"].values())
    if "delay" in fault:
        wanted_ms = seconds(fault["delay"]["fixedDelay"], "delay") * 1000
        delayed = [one for one in times if one >= _earliest_ms(fault)]
        share = fault["delay"]["percentage"]["value"]
        median = delayed[(len(delayed) - 1) // 2] if delayed else 0.0
        seen = f"{len(delayed)} of {total} delayed" + (
            f": {_ms(delayed[0])} to {_ms(delayed[-1])}, median {_ms(median)}" if delayed else ""
        )
        passed = is_share(len(delayed), total, share) and median <= wanted_ms + tolerance_ms
        yield f"{share:g} % take {_ms(wanted_ms)} to {_ms(wanted_ms + tolerance_ms)}", seen, passed
    if "abort" in fault:
        share = fault["abort"]["percentage"]["value"]
        count, how = aborted(fault["abort"], measured)
        yield (
            f"{share:g} % {how}",
            f"{count} of {total}: {_counts(measured)}",
            is_share(count, total, share),
        )
    if not fault:
        seen = f"{_counts(measured)}, median {_ms(measured['latency_ms']['p50'])}"
        expected = "no fault" if before is None else f"as before: {_ways(before)}"
        yield expected, seen, total > 0 and not errors and not _met(every, phase, measured, before)
    elif errors > (aborted(fault["abort"], measured)[0] if "abort" in fault else 0):
        yield "an answer to every request", f"{errors} of {total} without: {_counts(measured)}", False
    if phase == "during":
        yield from _limits(measured, limits)


def _earliest_ms(fault: t.Mapping[str, t.Any]) -> float:
    """The shortest time, in milliseconds, of an answer that a fault has delayed."""
    wanted_ms = seconds(fault["delay"]["fixedDelay"], "delay") * 1000
    return wanted_ms - max(_EARLY_MS, wanted_ms * _EARLY_SHARE)


def _met(
    faults: t.Sequence[dict[str, t.Any]],
    phase: str,
    measured: t.Mapping[str, t.Any],
    before: t.Mapping[str, t.Any] | None,
) -> bool:
    """Whether requests without a fault look as if they had one.

    In the phase before, any latency is the host's own, and so is any error.
    """
    seen, times = measured["statuses"], measured["latencies_ms"]
    aborts = {aborted_status(f["abort"]) for f in faults if "abort" in f and "close" not in f["abort"]}
    if phase == "before":
        return bool(aborts & set(seen)) or any(int(status) >= 500 for status in seen)
    if before is not None and set(seen) - set(before["statuses"]):
        return True
    if before is None and aborts & set(seen):
        return True
    # The usual latency plus the delay: that is the fault. The slowest request before may occur again.
    usual = before["latency_ms"]["p50"] if before else 0.0
    slowest = before["latency_ms"]["max"] if before else 0.0
    for fault in faults:
        if "delay" in fault:
            slow = sum(one >= usual + _earliest_ms(fault) and one > slowest for one in times)
            if slow and slow >= len(times) * fault["delay"]["percentage"]["value"] / 100 * _HALF:
                return True
    return False


def _ways(measured: t.Mapping[str, t.Any]) -> str:
    return printable(", ".join(sorted(measured["statuses"]))) or "nothing"


def _limits(measured: t.Mapping[str, t.Any], limits: t.Mapping[str, float]) -> t.Iterator[tuple[str, str, bool]]:
    if "success_percent" in limits:
        good = sum(count for status, count in measured["statuses"].items() if int(status) < 500)
        percent = 100 * good / max(1, measured["requests"])
        yield (
            f"at least {limits['success_percent']:g} % answered below 500",
            f"{percent:.1f} %",
            percent >= limits["success_percent"],
        )
    for name in ("p50", "p90", "p99"):
        if f"{name}_ms" in limits:
            seen = measured["latency_ms"][name]
            yield f"{name} at most {_ms(limits[f'{name}_ms'])}", _ms(seen), seen <= limits[f"{name}_ms"]


def aborted(abort: t.Mapping[str, t.Any], measured: t.Mapping[str, t.Any]) -> tuple[int, str]:
    """The number of aborted requests or connections, and how a client sees an abort."""
    errors = measured["errors"]
    if "close" in abort:
        return sum(errors.values()), "closed"
    if measured["url"].startswith("grpc://"):
        if "grpcStatus" in abort:
            code = list(_HTTP_OF_GRPC).index(abort["grpcStatus"]) + 1
        else:
            code = _GRPC_OF_HTTP.get(abort["httpStatus"], 2)
        return sum(count for error, count in errors.items() if f'grpc-status "{code}"' in error), f"grpc-status {code}"
    status = aborted_status(abort)
    return measured["statuses"].get(status, 0), f"answered {status}"


def aborted_status(abort: t.Mapping[str, t.Any]) -> str:
    """The HTTP status by which a client sees an abort."""
    return str(abort["httpStatus"] if "httpStatus" in abort else _HTTP_OF_GRPC[abort["grpcStatus"]])


def is_share(count: int, total: int, percent: float) -> bool:
    """Whether a count is within what chance makes of a percentage; exact where the percentage is 100."""
    share = percent / 100
    spread = _DEVIATIONS * math.sqrt(total * share * (1 - share))
    return total > 0 and abs(count - total * share) <= spread


def _ms(value: float) -> str:
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.1f} ms"


def _counts(measured: t.Mapping[str, t.Any]) -> str:
    counts = [f"{count} × {what}" for what, count in [*measured["statuses"].items(), *measured["errors"].items()]]
    return printable(", ".join(counts)) or "nothing"


def table(rows: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Lines of text with aligned columns."""
    names = ("test", "phase", "request", "expected", "measured")
    cells = [[*map(str.upper, names), ""]]
    cells += [[*(str(row[name]) for name in names), "ok" if row["passed"] else "NOT AS EXPECTED"] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _chart(test: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The distribution of the latencies of each phase, in steps that double."""
    times = {phase: [one for m in test.get(phase) or [] for one in m["latencies_ms"]] for phase in _PHASES}
    longest = max([one for some in times.values() for one in some] or [1])
    bounds = [2.0**power for power in range(max(1, math.ceil(math.log2(max(longest, 1))) + 1))]
    labels = [f"to {_ms(bound)}" for bound in bounds]
    series = []
    for phase, some in times.items():
        counts = [
            sum(1 for one in some if low < one <= high) for low, high in zip([-1.0, *bounds[:-1]], bounds, strict=True)
        ]
        most = max([*counts, 1])
        series.append({"phase": phase, "counts": counts, "percent": [round(100 * c / most, 1) for c in counts]})
    return {"test": test["name"], "labels": labels, "series": series}
