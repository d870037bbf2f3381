# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo's mesh on its way from one version of Istio to another, for the stories about upgrades."""

from __future__ import annotations

import copy
import json
import pathlib
import subprocess
import time

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from conftest import BIN, INVENTORY, ROOT
from killing import kill

DEPLOYMENT = KNOWN["apps", "Deployment"]


class Story:
    """The demo's mesh with what it takes to lose no request: two pods of everything, and time to say goodbye."""

    def __init__(self, mesh, folder: pathlib.Path) -> None:
        self.mesh, self.folder = mesh, folder
        demo = INVENTORY / "group_vars/all"
        gateways = copy.deepcopy(yaml.safe_load((demo / "mesh.yml").read_text())["gateways_list"])
        values = yaml.safe_load((demo / "lab.yml").read_text())["demo_gateway_values"]
        for gateway in gateways:
            gateway["values"] = {**values, "replicaCount": 2}
        (site,) = yaml.safe_load((demo / "objects.yml").read_text())["site_releases"]
        site["chart"] = str(ROOT / "charts/probe")
        site["values"] = {"image": mesh.env["LAB_PROBE_IMAGE"], "echo": {"replicas": 2, "drain": "15s"}}
        self.variables = {
            "control_plane_mesh_config": {"defaultConfig": {"terminationDrainDuration": "10s"}},
            "gateways_list": gateways,
            "site_releases": [site],
        }

    def options(self, version: str, **more) -> tuple[list[str], dict[str, str]]:
        """The playbook's options and environment for a version of Istio."""
        env = dict(self.mesh.env)
        if version == env["LAB_PREVIOUS_TAG"]:
            env |= {"LAB_CHARTS": env["LAB_PREVIOUS_CHARTS"], "LAB_TAG": version}
        variables = {**self.variables, "control_plane_version": version, **more}
        return ["-e", json.dumps(variables)], env

    def play(self, name: str, version: str, fails: bool = False, **more):
        options, env = self.options(version, **more)
        other = copy.copy(self.mesh)
        other.env = env
        return other.play(name, *options, fails=fails, timeout=1500)

    def play_and_kill(self, name: str, version: str, done, **more) -> None:
        """Begins a playbook and kills it with all that it has started, as soon as something is done."""
        options, env = self.options(version, **more)
        command = [BIN / "ansible-playbook", f"playbooks/{name}.yml", "-i", INVENTORY, *options]
        with (self.folder / "killed.log").open("w") as log:
            run = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 900
        while not done():
            if run.poll() is not None:
                raise AssertionError("it came to its end:\n" + (self.folder / "killed.log").read_text())
            assert time.monotonic() < end, "it never got there"
            time.sleep(0.2)
        kill(run)

    def proxies(self) -> set[tuple[str, str]]:
        """Revision and version of all proxies."""
        play = [
            {"hosts": "all", "gather_facts": False, "tasks": [{"meshops.istio.mesh_info": {}, "register": "found"}]}
        ]
        play[0]["tasks"].append({"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": self._info}})
        path = self.folder / "info.yml"
        path.write_text(json.dumps(play))
        self.mesh.play(str(path))
        found = json.loads(pathlib.Path(self._info).read_text())
        return {(proxy["revision"], proxy["version"]) for proxy in found["proxies"]}

    @property
    def _info(self) -> str:
        return str(self.folder / "info.json")

    def istiods(self) -> set[str]:
        return {d["metadata"]["name"] for d in self.mesh.cluster.list(DEPLOYMENT, "istio-system", labels="app=istiod")}
