# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of modules that install Helm releases: how Helm is run, the releases, and a control plane."""

from __future__ import annotations


class ModuleDocFragment:
    """How Helm is run (the standard fragment), what it takes over, what is released, and what a control plane is."""

    DOCUMENTATION = r"""
options:
  wait:
    description: Wait until workloads and CustomResourceDefinitions are ready.
    type: bool
    default: true
  wait_timeout:
    description: Seconds that a release may take to become ready.
    type: int
    default: 300
  atomic:
    description:
      - Roll back a release that helm cannot install or that does not become ready to its last revision that was ready,
        or uninstall it where it has none. So each is waited for, whatever O(wait) says.
      - The task still fails, and reports why.
      - An image that cannot be pulled rolls back everything that the task has done to its releases in any case,
        the last first. Namespaces, and CustomResourceDefinitions that Helm keeps, are retained.
    type: bool
    default: false
  binary_path:
    description: Path of C(helm), else it is looked for on the E(PATH).
    type: path
"""

    CHARTS_LOGIN = r"""
options:
  charts_username:
    description: User name for the repository or registry of the charts. Without it C(helm registry login) counts.
    type: str
  charts_password:
    description: Password for the repository or registry of the charts. It is on no command line and in no message.
    type: str
  charts_ca_file:
    description: Path of the CA certificates that the certificate of the charts' repository is verified with.
    type: path
"""

    OWNERSHIP = r"""
options:
  take_ownership:
    description:
      - Take over objects that exist and that no release has, instead of failing.
      - Hands their fields over to Helm's field manager, and removes from them what the chart does not have. So Helm 4
        finds no conflict, and nothing of the earlier installation is left in them.
    type: bool
    default: false
"""

    RELEASES = r"""
options:
  releases:
    description: The releases.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the release.
        type: str
        required: true
      namespace:
        description: Namespace of the release, made where it is missing.
        type: str
        required: true
      chart:
        description: Name of the chart within O(charts), or the path or address of a chart of its own.
        type: str
      charts:
        description: Where this release's chart comes from, instead of O(charts).
        type: str
      version:
        description: Version of the chart, else O(version).
        type: str
      digest:
        description: Digest that the chart's package must have, as V(sha256:...).
        type: str
      values:
        description: Values over the chart's own.
        type: dict
        default: {}
      patches:
        description:
          - Changes to the objects that the chart renders, applied in their order.
          - Each names C(kind) and C(name) of an object, and has either C(merge), a strategic merge patch, or C(path)
            and C(value) as in C(k8s.overlays) of an IstioOperator document.
        type: list
        elements: dict
        default: []
      objects:
        description:
          - Further objects that are part of the release, beside what the chart renders. They come and go with it.
          - One without a namespace gets the release's.
        type: list
        elements: dict
        default: []
      after:
        description: Names of the releases in this list that must be ready before this one is begun.
        type: list
        elements: str
        default: []
      state:
        description: Whether the release is there.
        type: str
        choices: [present, absent]
        default: present
"""

    CONTROL_PLANE = r"""
options:
  profile:
    description: Istio's installation profile. Without it V(default).
    type: str
  version:
    description: Version of Istio, which is the version of its charts. Without it the newest.
    type: str
  revision:
    description: Name of the revision. Without it this is the cluster's default control plane.
    type: str
  tags:
    description:
      - Revision tags that point to this revision. V(default) makes it the one that C(istio-injection=enabled) means.
      - Each is a release of its own, C(istio-tag-NAME), so that moving a tag is one update.
    type: list
    elements: str
  values:
    description: Values for each chart, by C(base), C(istiod), C(cni) and C(ztunnel).
    type: dict
  mesh_config:
    description: The mesh configuration, as in Istio's own documentation of MeshConfig.
    type: dict
  cni:
    description: Whether the CNI plugin is installed; V(false) removes it. Without it the profile decides.
    type: bool
  istio_operator:
    description:
      - An IstioOperator document, instead of O(profile), O(values), O(mesh_config) and O(cni).
      - A dict, the path of a file, or a list of both, which are merged in their order.
      - Where O(revision) and O(namespace) are given beside it, they must be the document's own; O(namespace) is taken
        where it names none. Its C(spec.values.revisionTags) become O(tags).
    type: raw
  charts:
    description:
      - Where the charts come from, which is the URL of a Helm repository, an address C(oci://...), or a directory.
      - Without it Istio's own repository.
    type: str
    default: https://istio-release.storage.googleapis.com/charts
  digests:
    description:
      - Digests that the charts' packages must have, as V(sha256:...), by the chart's name.
      - That is one of C(base), C(cni), C(istiod), C(ztunnel) and C(gateway).
    type: dict
  hub:
    description: Where the images come from. Without it the charts' own.
    type: str
  tag:
    description: Tag of the images. Without it the charts' own.
    type: str
  namespace:
    description: Namespace of the control plane. Without it V(istio-system).
    type: str
"""
