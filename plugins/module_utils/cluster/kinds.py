# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kinds that this collection meets daily, so that they need no discovery request."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind as one version of an API group serves it.

    :ivar group: API group, empty for the core group
    :ivar version: such as C(v1)
    :ivar kind: such as C(VirtualService)
    :ivar plural: the name in paths, such as C(virtualservices)
    :ivar namespaced: whether objects live in a namespace
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """The group and version as objects write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of the collection, or of one object."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        return "/".join(parts)


_TABLE = """
-                             v1        Namespace                         namespaces                         cluster
-                             v1        Node                              nodes                              cluster
-                             v1        Pod                               pods                               namespaced
-                             v1        Service                           services                           namespaced
-                             v1        ServiceAccount                    serviceaccounts                    namespaced
-                             v1        ConfigMap                         configmaps                         namespaced
-                             v1        Secret                            secrets                            namespaced
-                             v1        Event                             events                             namespaced
-                             v1        Endpoints                         endpoints                          namespaced
-                             v1        ResourceQuota                     resourcequotas                     namespaced
-                             v1        PersistentVolumeClaim             persistentvolumeclaims             namespaced
apps                          v1        Deployment                        deployments                        namespaced
apps                          v1        DaemonSet                         daemonsets                         namespaced
apps                          v1        StatefulSet                       statefulsets                       namespaced
apps                          v1        ReplicaSet                        replicasets                        namespaced
batch                         v1        Job                               jobs                               namespaced
batch                         v1        CronJob                           cronjobs                           namespaced
autoscaling                   v2        HorizontalPodAutoscaler           horizontalpodautoscalers           namespaced
policy                        v1        PodDisruptionBudget               poddisruptionbudgets               namespaced
networking.k8s.io             v1        NetworkPolicy                     networkpolicies                    namespaced
networking.k8s.io             v1        Ingress                           ingresses                          namespaced
coordination.k8s.io           v1        Lease                             leases                             namespaced
discovery.k8s.io              v1        EndpointSlice                     endpointslices                     namespaced
rbac.authorization.k8s.io     v1        Role                              roles                              namespaced
rbac.authorization.k8s.io     v1        RoleBinding                       rolebindings                       namespaced
rbac.authorization.k8s.io     v1        ClusterRole                       clusterroles                       cluster
rbac.authorization.k8s.io     v1        ClusterRoleBinding                clusterrolebindings                cluster
apiextensions.k8s.io          v1        CustomResourceDefinition          customresourcedefinitions          cluster
admissionregistration.k8s.io  v1        MutatingWebhookConfiguration      mutatingwebhookconfigurations      cluster
admissionregistration.k8s.io  v1        ValidatingWebhookConfiguration    validatingwebhookconfigurations    cluster
admissionregistration.k8s.io  v1        ValidatingAdmissionPolicy         validatingadmissionpolicies        cluster
admissionregistration.k8s.io  v1        ValidatingAdmissionPolicyBinding  validatingadmissionpolicybindings  cluster
certificates.k8s.io           v1beta1   ClusterTrustBundle                clustertrustbundles                cluster
networking.istio.io           v1        Gateway                           gateways                           namespaced
networking.istio.io           v1        VirtualService                    virtualservices                    namespaced
networking.istio.io           v1        DestinationRule                   destinationrules                   namespaced
networking.istio.io           v1        ServiceEntry                      serviceentries                     namespaced
networking.istio.io           v1        Sidecar                           sidecars                           namespaced
networking.istio.io           v1        WorkloadEntry                     workloadentries                    namespaced
networking.istio.io           v1        WorkloadGroup                     workloadgroups                     namespaced
networking.istio.io           v1alpha3  EnvoyFilter                       envoyfilters                       namespaced
networking.istio.io           v1beta1   ProxyConfig                       proxyconfigs                       namespaced
security.istio.io             v1        PeerAuthentication                peerauthentications                namespaced
security.istio.io             v1        RequestAuthentication             requestauthentications             namespaced
security.istio.io             v1        AuthorizationPolicy               authorizationpolicies              namespaced
telemetry.istio.io            v1        Telemetry                         telemetries                        namespaced
extensions.istio.io           v1alpha1  WasmPlugin                        wasmplugins                        namespaced
extensions.istio.io           v1alpha1  TrafficExtension                  trafficextensions                  namespaced
gateway.networking.k8s.io     v1        GatewayClass                      gatewayclasses                     cluster
gateway.networking.k8s.io     v1        Gateway                           gateways                           namespaced
gateway.networking.k8s.io     v1        HTTPRoute                         httproutes                         namespaced
gateway.networking.k8s.io     v1        GRPCRoute                         grpcroutes                         namespaced
gateway.networking.k8s.io     v1        TCPRoute                          tcproutes                          namespaced
gateway.networking.k8s.io     v1        TLSRoute                          tlsroutes                          namespaced
gateway.networking.k8s.io     v1        UDPRoute                          udproutes                          namespaced
gateway.networking.k8s.io     v1        BackendTLSPolicy                  backendtlspolicies                 namespaced
gateway.networking.k8s.io     v1        ListenerSet                       listenersets                       namespaced
gateway.networking.k8s.io     v1        ReferenceGrant                    referencegrants                    namespaced
"""


def _read(table: str) -> dict[tuple[str, str], Kind]:
    kinds = {}
    for line in table.strip("\n").splitlines():
        group, version, kind, plural, scope = line.split()
        group = "" if group == "-" else group
        kinds[group, kind] = Kind(group, version, kind, plural, scope == "namespaced")
    return kinds


#: (group, kind) -> the Kind in the version that current servers prefer.
KNOWN = _read(_TABLE)


def split_api_version(api_version: str) -> tuple[str, str]:
    """C(networking.istio.io/v1) -> C(networking.istio.io), C(v1); C(v1) -> empty group, C(v1)."""
    group, slash, version = api_version.partition("/")
    return (group, version) if slash else ("", group)


def known(api_version: str, kind: str) -> Kind | None:
    """The known kind in the version that api_version names, or None."""
    group, version = split_api_version(api_version)
    found = KNOWN.get((group, kind))
    return dataclasses.replace(found, version=version) if found and version else found


POD = KNOWN["", "Pod"]
SECRET = KNOWN["", "Secret"]
CONFIG_MAP = KNOWN["", "ConfigMap"]
NAMESPACE = KNOWN["", "Namespace"]
