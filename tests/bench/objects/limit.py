# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bare limit: what the API server and Python cost at least, without a plan, a playbook, or a check of anything.

limit.py KUBECONFIG DOCUMENTS.yml read    lists both kinds and compares every spec
limit.py KUBECONFIG DOCUMENTS.yml write   applies every document, 16 at once

It reads the same documents as everybody else, with libyaml.
"""

from __future__ import annotations

import concurrent.futures
import sys

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN

KINDS = (KNOWN["networking.istio.io", "VirtualService"], KNOWN["networking.istio.io", "DestinationRule"])


def main(kubeconfig: str, documents: str, what: str) -> None:
    cluster = Cluster({"kubeconfig": kubeconfig}, concurrency=16)
    with open(documents, encoding="utf-8") as file:
        wanted = list(yaml.load_all(file, Loader=yaml.CSafeLoader))
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        if what == "write":
            list(threads.map(cluster.apply, wanted))
            return
        specs = {(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o["spec"] for o in wanted}
        for found in threads.map(cluster.list, KINDS):
            for obj in found:
                meta = obj["metadata"]
                if specs.pop((obj["kind"], meta["namespace"], meta["name"])) != obj["spec"]:
                    raise SystemExit(f"{meta['name']} differs")
        if specs:
            raise SystemExit(f"{len(specs)} objects are missing")


if __name__ == "__main__":
    main(*sys.argv[1:])
