# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The metrics endpoint's text."""

from __future__ import annotations

from ansible_collections.meshops.istio.extensions.operator.metrics import Metrics


def test_metrics_as_prometheus_reads_them():
    metrics = Metrics()
    metrics.add("istio_operator_failures_total", namespace="s", name='a"b')
    metrics.add("istio_operator_failures_total", namespace="s", name='a"b')
    metrics.observe("istio_operator_reconcile_seconds", 1.5, name="a")
    metrics.set("istio_operator_ready", 1, name="a")
    text = metrics.text()
    assert 'istio_operator_failures_total{name="a\\"b",namespace="s"} 2\n' in text
    assert 'istio_operator_reconcile_seconds_sum{name="a"} 1.5\n' in text
    assert "# TYPE istio_operator_reconcile_seconds summary\n" in text
    metrics.forget(name="a")
    assert "istio_operator_ready{" not in metrics.text()
    assert "istio_operator_reconcile_seconds_count" in metrics.text()
