# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook in a backup that makes the same mesh again.

Its structure is fixed; every text in its variables comes from the cluster and is marked as unsafe, so that Ansible
never takes it for a template. Objects are read from the folders by a module, not by Ansible.
"""

from __future__ import annotations

import typing as t

from .backup_folder import unsafe

Play = dict[str, t.Any]


def restore_playbook(sites: t.Iterable[t.Mapping[str, t.Any]]) -> list[Play]:
    """The plays: namespaces and the CA first, then one control plane after another, then what users have written.

    :param sites: variables of site.yml for one control plane after another
    """
    return [
        _objects("Restore namespaces and the CA, so that the root is the same", "namespaces", "ca"),
        *(
            {
                "name": f"Restore control plane {number}",
                "import_playbook": "meshops.istio.site",
                "vars": unsafe(variables),
            }
            for number, variables in enumerate(sites, 1)
        ),
        _objects("Restore mesh objects, and labels of workloads", "mesh_objects", "workloads"),
    ]


def _objects(name: str, *folders: str) -> Play:
    present = f"{list(folders)} | map('regex_replace', '^', playbook_dir ~ '/') | select('directory') | list"
    return {
        "name": name,
        "hosts": "all",
        "gather_facts": False,
        "module_defaults": {
            "group/meshops.istio.mesh": {
                "kubeconfig": "{{ cluster_kubeconfig | default(omit) }}",
                "context": "{{ cluster_context | default(omit) }}",
            }
        },
        "tasks": [
            {
                "name": name,
                "meshops.istio.mesh_objects": {"src": f"{{{{ {present} }}}}"},
                "when": f"({present}) | length > 0",
            }
        ],
    }
