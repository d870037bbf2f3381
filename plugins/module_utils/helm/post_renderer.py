# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The post-renderer by which helm installs a planned manifest instead of what a chart renders to.

Helm 4 also sends the chart's hooks through it (its strategy "combined"), and Helm 3 does not: hooks are passed on
unchanged. It is run by this Python, so that the folder it is in may be mounted noexec.
"""

from __future__ import annotations

import json
import sys

NAME = "meshops-manifest"
#: The environment variable with the path of the planned manifest.
MANIFEST_VARIABLE = "MESHOPS_MANIFEST"
SCRIPT_FILE = "render.py"

SCRIPT = f"""\
import os
import re
import sys

import yaml

for text in re.split(r"(?m)^---[ \\t]*$", sys.stdin.read()):
    if "helm.sh/hook" in text:
        document = yaml.safe_load(text)
        if "helm.sh/hook" in ((document.get("metadata") or {{}}).get("annotations") or {{}}):
            sys.stdout.write("---\\n" + text.strip("\\n") + "\\n")
with open(os.environ["{MANIFEST_VARIABLE}"]) as manifest:
    sys.stdout.write(manifest.read())
"""


def plugin() -> str:
    """The plugin.yaml by which Helm 4 finds it; JSON is YAML."""
    command = {"command": sys.executable, "args": [f"${{HELM_PLUGIN_DIR}}/{SCRIPT_FILE}"]}
    head = {"apiVersion": "v1", "type": "postrenderer/v1", "name": NAME, "version": "1.0.0", "runtime": "subprocess"}
    return json.dumps({**head, "runtimeConfig": {"platformCommand": [command]}})
