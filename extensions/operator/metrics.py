# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Metrics in Prometheus' text format."""

from __future__ import annotations

import threading
import typing as t

_HELP = {
    "istio_operator_leader": ("gauge", "Whether this replica leads."),
    "istio_operator_reconciles_total": ("counter", "Runs, by what led to them and how they ended."),
    "istio_operator_reconcile_seconds": ("summary", "How long runs took."),
    "istio_operator_failures_total": ("counter", "Runs that failed."),
    "istio_operator_changes_total": ("counter", "Releases that were changed, by what was done."),
    "istio_operator_last_success_timestamp_seconds": ("gauge", "When a run last succeeded."),
    "istio_operator_ready": ("gauge", "Whether an IstioOperator is ready."),
    "process_cpu_seconds_total": ("counter", "CPU time of the controller itself, without the playbooks that it runs."),
    "process_resident_memory_bytes": ("gauge", "Memory of the controller itself."),
}
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """The numbers, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[tuple[str, Labels], float]] = {name: {} for name in _HELP}

    def set(self, metric: str, value: float, **labels: str) -> None:
        """Sets a gauge."""
        with self._lock:
            self._values[metric]["", _sorted(labels)] = value

    def add(self, metric: str, value: float = 1, **labels: str) -> None:
        """Counts up."""
        with self._lock:
            self._add(metric, "", value, labels)

    def observe(self, metric: str, value: float, **labels: str) -> None:
        """Adds one value to a summary."""
        with self._lock:
            self._add(metric, "_sum", value, labels)
            self._add(metric, "_count", 1, labels)

    def forget(self, **labels: str) -> None:
        """Removes the gauges of an object that no longer exists; counters are retained."""
        wanted = set(labels.items())
        with self._lock:
            for name, (kind, _help) in _HELP.items():
                if kind == "gauge":
                    self._values[name] = {k: v for k, v in self._values[name].items() if not wanted <= set(k[1])}

    def _add(self, name: str, suffix: str, value: float, labels: t.Mapping[str, str]) -> None:
        place = (suffix, _sorted(labels))
        self._values[name][place] = self._values[name].get(place, 0) + value

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        lines = []
        with self._lock:
            for name, (kind, help_) in _HELP.items():
                lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]
                for (suffix, labels), value in sorted(self._values[name].items()):
                    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
                    lines.append(f"{name}{suffix}{{{shown}}} {value:.17g}" if shown else f"{name}{suffix} {value:.17g}")
        return "\n".join(lines) + "\n"


def _sorted(labels: t.Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
