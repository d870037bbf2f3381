# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook in a backup, played by Ansible itself."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml
from ansible_collections.meshops.istio.plugins.module_utils.purge.backup_folder import BackupFolder, unsafe
from ansible_collections.meshops.istio.plugins.module_utils.purge.restore import restore_playbook

EVIL = [
    "{{ 1/0 }}",
    "{% raw %}",
    "{{ lookup('ansible.builtin.pipe', 'touch pwned') }}",
    "!!python/none x",
    "\x1b[31m",
    "a\n---\nb",
    "{#",
    "#jinja2: variable_start_string: '[['",
]
#: Of Istio's own chart: full of templates that are not Ansible's.
TEMPLATES = {
    "sidecarInjectorWebhook": {"templates": {"custom": "{{- if .Values.x }}\nspec: {{ .Spec.y | quote }}\n{{ end }}"}}
}


def play(tmp_path, tasks, *words):
    """Runs a playbook; gives what it wrote into its file."""
    (tmp_path / "play.yml").write_text(yaml.safe_dump(tasks))
    command = [pathlib.Path(sys.executable).parent / "ansible-playbook", "play.yml", "-i", "localhost,", "-c", "local"]
    env = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false"}
    return subprocess.run(
        [*command, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=50
    )


@pytest.mark.timeout(60)
def test_texts_of_the_cluster_are_never_templates(tmp_path):
    """As extra variables, and as variables of an imported playbook: they come out as they were."""
    values = {"evil": EVIL, "nested": {"{{ 1/0 }}": TEMPLATES}}
    folder = BackupFolder(str(tmp_path / "b"))
    folder.open("uid", "now", [])
    folder.write({"site.yml": unsafe({"control_plane_values": values})})
    task = {
        "ansible.builtin.copy": {
            "dest": "{{ playbook_dir }}/out.json",
            "content": "{{ control_plane_values | to_json }}",
        }
    }
    tasks = [{"hosts": "all", "gather_facts": False, "tasks": [task]}]
    done = play(tmp_path, tasks, "-e", "@b/site.yml", "-e", f"ansible_python_interpreter={sys.executable}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "out.json").read_text()) == values
    assert not (tmp_path / "pwned").exists()


def test_the_playbook_holds_no_text_of_the_cluster_but_unsafe_ones(tmp_path):
    folder = BackupFolder(str(tmp_path / "b"))
    folder.open("uid", "now", [])
    folder.write({"restore.yml": restore_playbook([{"a": EVIL[0]}, {"a": EVIL[1]}])})
    text = (tmp_path / "b/restore.yml").read_text()
    assert text.count("!unsafe") == 2
    assert "import_playbook: meshops.istio.site" in text
    for line in text.splitlines():
        assert "1/0" not in line or "!unsafe" in line
