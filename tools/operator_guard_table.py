# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prints the rules of all ClusterRoles in Istio's charts, for charts/operator/files/cluster-rules.json.

Usage: tools/operator_guard_table.py HELM FOLDER... > charts/operator/files/cluster-rules.json

A folder holds the packaged charts of one Istio version. The table maps `GROUP/RESOURCE`, and `GROUP/RESOURCE#NAME`
for rules that name objects, to verbs. The operator's guard refuses a ClusterRole with any other rule.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import yaml

VARIANTS = [
    [], ["profile=ambient"], ["profile=openshift"], ["profile=openshift-ambient"], ["global.platform=openshift"],
    ["pilot.cni.enabled=true"], ["repair.deletePods=true"], ["repair.labelPods=true"],
    ["ambient.enabled=true"], ["experimental.stableValidationPolicy=true"], ["global.multiCluster.enabled=true"],
    ["global.istiod.enableAnalysis=true"], ["global.externalIstiod=true"], ["global.configCluster=true"],
    ["env.ENABLE_CLUSTER_TRUST_BUNDLE_API=true"], ["pilot.env.ENABLE_CLUSTER_TRUST_BUNDLE_API=true"],
    ["taint.enabled=true"], ["pilot.taint.enabled=true"], ["global.operatorManageWebhooks=true"],
    ["env.PILOT_ENABLE_NATIVE_SIDECARS=true"], ["platforms.openshift.cni.provider=multus"],
    ["resourceQuotas.enabled=true"],
]  # fmt: skip


def rules(helm: str, chart: pathlib.Path) -> list[dict]:
    """The rules of a chart's ClusterRoles, with all variants of its values."""
    found = []
    for variant in VARIANTS:
        options = [word for value in variant for word in ("--set", value)]
        done = subprocess.run(
            [helm, "template", "x", str(chart), "--namespace", "istio-system", "--kube-version", "v1.34.0", *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        for obj in yaml.safe_load_all(done.stdout) if done.returncode == 0 else ():
            if obj and obj["kind"] == "ClusterRole":
                found += obj["rules"] or []
    return found


def table(listed: list[dict]) -> dict[str, list[str]]:
    """Rules as `GROUP/RESOURCE[#NAME]`: verbs."""
    verbs: dict[str, set[str]] = {}
    for rule in listed:
        for group in rule.get("apiGroups", []):
            for resource in rule["resources"]:
                for name in rule.get("resourceNames") or [""]:
                    key = f"{group}/{resource}" + (f"#{name}" if name else "")
                    verbs.setdefault(key, set()).update(rule["verbs"])
    return {key: sorted(value) for key, value in sorted(verbs.items())}


def main() -> None:
    helm, *folders = sys.argv[1:]
    charts = [path for folder in folders for path in sorted(pathlib.Path(folder).glob("*.tgz"))]
    found = table([rule for chart in charts for rule in rules(helm, chart)])
    print("{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(verbs)}" for key, verbs in found.items()) + "\n}")


if __name__ == "__main__":
    main()
