#!/usr/bin/python
# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One resumable change of a mesh's CA."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ca_rotation
short_description: Install, renew and rotate the CA of an Istio mesh
version_added: 0.1.0
author: The meshops.istio authors (@meshops)
description:
  - Puts a CA into the secret C(cacerts), renews its intermediate, or rotates its root, while the mesh serves.
  - In phases, both roots are trusted, then the new one signs, then the old root is dropped.
    After each phase a gate proves in the mesh itself that every namespace's ConfigMap, every webhook's C(caBundle),
    every istiod and every proxy is there. No timer decides.
  - What a run needs is stored in the cluster. A run that was killed continues when it is started
    again, from any machine.
  - Keys are never returned, shown or logged.
options:
  action:
    description:
      - V(install) puts a CA in, before or after the control plane; where istiod runs with a CA that it has made for
        itself, the mesh is brought over in phases. Nothing is done where a CA is plugged in already.
      - V(rotate) brings the mesh to another root, from any state, and finishes a rotation that is under way.
        With O(source=generated) each run makes a new root, unless a rotation is under way.
      - V(renew) puts a new intermediate under the same root; every proxy gets a new leaf, nothing is restarted.
      - V(abort) takes a rotation that is under way back, from whichever phase it is in.
      - V(status) only reads.
    type: str
    choices: [install, rotate, renew, abort, status]
    required: true
  namespace:
    description: Where istiod runs. All its revisions there share one CA and are handled together.
    type: str
    default: istio-system
  source:
    description: Whether the new CA is made here, or brought in O(files).
    type: str
    choices: [generated, files]
    default: generated
  files:
    description:
      - Your own CA. Each is a path on the host that the module runs on, or the PEM text itself, such as from
        Ansible Vault.
      - A broken bundle is refused before anything is written, each problem by its name.
    type: dict
    suboptions:
      ca_cert:
        description: The certificate that signs workloads.
        type: str
        required: true
      ca_key:
        description: Its private key, without a password.
        type: str
        required: true
      root_cert:
        description: The root, or several.
        type: str
        required: true
      cert_chain:
        description:
          - The signer, its issuer and so on, up to the root. Left out, it is the signer and O(files.root_cert).
        type: str
  key_type:
    description: The type of the keys that are made.
    type: str
    choices: [EC-P256, EC-P384, RSA-4096]
    default: EC-P256
  root_days:
    description: How many days a new root is valid.
    type: int
    default: 3650
  intermediate_days:
    description: How many days a new intermediate is valid, never longer than its root.
    type: int
    default: 730
  root_dir:
    description:
      - A directory for the root, on the host that the module runs on. Where it holds C(root-cert.pem) and
        C(root-key.pem) they are used; otherwise a new root and its key are written there, once, with mode 0600 in a
        directory of mode 0700. A rotation needs another root, hence another directory, each time.
      - The root's key is never written to the cluster. Without this option it is forgotten as soon as it has signed the
        intermediate, which can then be replaced by O(action=rotate) only.
    type: path
  root_key:
    description: For O(action=renew), the key of the root in use as PEM text, such as from Ansible Vault.
    type: str
  trust_domains:
    description:
      - For which trust domains a new intermediate may sign. Left out, those of the mesh config of every revision.
      - They must hold every C(trustDomain) of the mesh.
    type: list
    elements: str
  mesh_config:
    description:
      - The mesh config that the control plane will have. Its C(trustDomain) and C(trustDomainAliases) count before
        there is a control plane; of one that runs, its own mesh config counts.
    type: dict
  min_days:
    description: A CA that expires within so many days is refused.
    type: int
    default: 30
  warn_days:
    description:
      - The status warns of certificates that expire within so many days. There is one with O(action=status), and where
        O(report) is given.
    type: int
    default: 60
  restart_proxies:
    description:
      - Whether workloads may be restarted whose proxies don't take new roots while they run. One at a time, each behind
        its readiness, before anything else. Otherwise such proxies are named and nothing is changed.
    type: bool
    default: false
  unproven_proxies:
    description:
      - Whether the root may be rotated although istiod serves proxies that are no pods of this cluster, such as those
        of virtual machines and remote clusters. No gate can look at them; see yourself that they follow.
    type: bool
    default: false
  accept_shared_root:
    description:
      - Rotate the root although other control planes or clusters may trust it; they are recognised by remote secrets
        (label C(istio/multiCluster)), several networks, east-west gateways, and an istiod with the same root in another
        namespace.
      - From phase C(sign) on, their proxies refuse those of this mesh unless they trust the new root already.
    type: bool
    default: false
  accept_managed_secret:
    description:
      - Write the secret C(cacerts) although another tool has written it, such as External Secrets, Sealed Secrets,
        Argo CD, Flux, the Vault Secrets Operator or cert-manager. Set it where that tool no longer writes the secret.
    type: bool
    default: false
  accept_git_root_dir:
    description: Write a new root's key to O(root_dir) although that is inside a git work tree.
    type: bool
    default: false
  timeout:
    description: Seconds that one gate, or one restart, may take before the run fails and names what blocks it.
    type: int
    default: 300
  report:
    description:
      - Write an HTML page with the state afterwards to this file, with a picture of the validity spans. Its directory
        must be there. Check mode doesn't write it.
    type: path
extends_documentation_fragment:
  - meshops.istio.connection
  - meshops.istio.attributes
attributes:
  idempotent:
    support: partial
    details:
      - O(action=rotate) and O(action=renew) with O(source=generated) make a new CA on each run; everything else is
        idempotent.
requirements:
  - cryptography >= 42
seealso:
  - module: meshops.istio.proxies_info
"""

EXAMPLES = r"""
- name: Put a CA in before the control plane, and keep the root's key on this machine
  meshops.istio.ca_rotation:
    action: install
    root_dir: /secure/mesh-root

- name: Rotate to a new root
  meshops.istio.ca_rotation:
    action: rotate
    root_dir: /secure/mesh-root-2

- name: Rotate to your own CA, with its key from Ansible Vault
  meshops.istio.ca_rotation:
    action: rotate
    source: files
    files:
      ca_cert: certs/intermediate.pem
      ca_key: "{{ vault_mesh_ca_key }}"
      root_cert: certs/root.pem

- name: Take back a rotation that is under way
  meshops.istio.ca_rotation:
    action: abort

- name: See every certificate of the mesh
  meshops.istio.ca_rotation:
    action: status
    report: /tmp/ca.html
"""

RETURN = r"""
phases:
  description: What was done, or in check mode would be done, phase by phase.
  returned: success, except for O(action=status)
  type: list
  elements: dict
  contains:
    phase:
      description: V(install), V(adopt), V(trust), V(sign) or V(drop).
      type: str
    words:
      description: What it does, with fingerprints.
      type: str
    write_seconds:
      description: How long the write took, with a restart of istiod in V(adopt).
      type: float
    gate_seconds:
      description: How long the mesh took until it was proven to be there.
      type: float
    proxies:
      description: How many proxies were proven.
      type: int
    reads:
      description: How many times a proxy was read for that.
      type: int
  sample:
    - phase: trust
      words: trust O=cluster.local,CN=Root CA 1f0c (aa11bb22cc33) beside O=cluster.local,CN=Root CA 77ab (dd44ee55ff66)
      write_seconds: 0.1
      gate_seconds: 2.3
      proxies: 12
      reads: 31
restarted:
  description: Workloads that were restarted since their proxies took no new roots.
  returned: when there was something to check for that
  type: list
  elements: str
not_ready:
  description: Pods that aren't ready, with what made them. Their proxies were proven where they run.
  returned: when a mesh was changed
  type: list
  elements: str
  sample: [app/broken-6f7c9d-x2b4k (Deployment/broken)]
blocked_by:
  description: What blocks a gate, and why. RV(held_up_by) has the same contents.
  returned: when a gate is not met in time
  type: list
  elements: dict
  contains:
    what:
      description: Such as C(sidecar app/web-1).
      type: str
    why:
      description: What it lacks.
      type: str
    reason:
      description:
        - The same for programs, one of V(ca_bundle_differs), V(config_map_differs), V(config_map_missing),
          V(istiod_not_ready), V(istiod_terminating), V(istiod_unreadable), V(secret_not_loaded),
          V(mounted_file_differs), V(mounted_file_unreadable), V(no_certificate), V(proxy_unreadable), V(root_missing),
          V(root_still_trusted), V(wrong_issuer).
      type: str
held_up_by:
  description: The same as RV(blocked_by).
  returned: when a gate is not met in time
  type: list
  elements: dict
reasons:
  description: Why a change was refused.
  returned: when the state of the cluster forbids it
  type: list
  elements: dict
  contains:
    reason:
      description:
        - One of V(abort_impossible), V(another_run), V(changed_meanwhile), V(external_ca), V(given_way),
          V(immutable_secret), V(incomplete_secret), V(managed_secret), V(no_control_plane), V(no_root_reload),
          V(not_multi_root), V(other_ca_in_use), V(revocation_list), V(rotation_under_way), V(self_signed),
          V(shared_root), V(unknown_ca), V(unproven_proxies), V(unreadable_secret), V(wrong_action), V(ztunnel).
      type: str
    message:
      description: The reason in words, with its remedy.
      type: str
problems:
  description: What is wrong with a CA that was refused.
  returned: when a CA is refused
  type: list
  elements: dict
  contains:
    name:
      description:
        - One of V(unreadable), V(key_mismatch), V(chain_broken), V(not_a_ca), V(expires_soon), V(not_yet_valid),
          V(wrong_order), V(root_missing), V(weak_key), V(path_too_long), V(wrong_trust_domain), V(wrong_usage),
          V(unsupported_key).
      type: str
    reason:
      description: The same as C(name).
      type: str
    message:
      description: Which certificate, and why.
      type: str
status:
  description: Every root, intermediate and leaf of the mesh.
  returned: with O(action=status), and where O(report) is given
  type: dict
  contains:
    source:
      description: V(self-signed), V(plugged-in) or V(none).
      type: str
    rotation:
      description: The phase of the last rotation, and when each was entered.
      type: dict
    under_way:
      description: Whether a rotation is under way.
      type: bool
    control_planes:
      description: The istiod pods.
      type: list
      elements: dict
    roots:
      description: Subject, issuer, serial, fingerprint, validity, days left, key type, and the proxies that trust it.
      type: list
      elements: dict
    intermediates:
      description: The same for every intermediate.
      type: list
      elements: dict
    leaves:
      description: The same for every proxy's own certificate, with its identity.
      type: list
      elements: dict
    unread_proxies:
      description: Proxies that could not be read, and why.
      type: list
      elements: dict
    unseen_proxies:
      description: Proxies that istiod serves and that are no pods of this cluster.
      type: list
      elements: str
    proxies_not_running:
      description: Proxies that do not run and so hold nothing.
      type: list
      elements: str
    warnings:
      description: What should be looked at.
      type: list
      elements: str
"""

from ansible_collections.meshops.istio.plugins.module_utils.ca.actions import run
from ansible_collections.meshops.istio.plugins.module_utils.cluster.module import run_module
from ansible_collections.meshops.istio.plugins.module_utils.mesh.certificates import KEY_TYPES


def main() -> None:
    files = {
        "ca_cert": {"type": "str", "required": True},
        "ca_key": {"type": "str", "required": True, "no_log": True},
        "root_cert": {"type": "str", "required": True},
        "cert_chain": {"type": "str"},
    }
    run_module(
        {
            "action": {
                "type": "str",
                "choices": ["install", "rotate", "renew", "abort", "status"],
                "required": True,
            },
            "namespace": {"type": "str", "default": "istio-system"},
            "source": {"type": "str", "choices": ["generated", "files"], "default": "generated"},
            "files": {"type": "dict", "options": files},
            "key_type": {"type": "str", "choices": sorted(KEY_TYPES), "default": "EC-P256", "no_log": False},
            "root_days": {"type": "int", "default": 3650},
            "intermediate_days": {"type": "int", "default": 730},
            "root_dir": {"type": "path"},
            "root_key": {"type": "str", "no_log": True},
            "trust_domains": {"type": "list", "elements": "str"},
            "mesh_config": {"type": "dict"},
            "min_days": {"type": "int", "default": 30},
            "warn_days": {"type": "int", "default": 60},
            "restart_proxies": {"type": "bool", "default": False},
            "unproven_proxies": {"type": "bool", "default": False},
            "accept_shared_root": {"type": "bool", "default": False},
            "accept_managed_secret": {"type": "bool", "default": False},
            "accept_git_root_dir": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 300},
            "report": {"type": "path"},
        },
        lambda module, cluster: run(module.params, cluster, check_mode=module.check_mode),
        unlogged=["files", "root_key"],
        required_if=[("source", "files", ["files"])],
    )


if __name__ == "__main__":
    main()
