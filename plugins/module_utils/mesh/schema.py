# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The types of an IstioOperator document, as a table: a type a line, its fields with their types.

A field without a type is a string. C([]T) is a list of T, C({}T) a dict of T by any key. Beside the types of the table
there are string, bool, int, count (an int, also written as a string), number, quantity, int_or_string, tag, enum, dict
and any.

Sources, in Istio 1.31: C(operator/pkg/apis/types.go) and C(values_types.proto) of istio/istio; C(mesh/v1alpha1) of
istio/api; the Kubernetes types are those of its API 1.34.
"""

from __future__ import annotations

#: type -> field -> type of the field
TYPES: dict[str, dict[str, str]] = {}

_DOCUMENT = """
IstioOperator: apiVersion kind metadata:Metadata spec:Spec
Metadata: name namespace labels:{}string annotations:{}string creationTimestamp:any generation:int resourceVersion
    uid finalizers:[]string managedFields:any ownerReferences:any generateName deletionTimestamp:any
    deletionGracePeriodSeconds:any selfLink
Spec: profile installPackagePath hub tag:tag namespace revision compatibilityVersion meshConfig:MeshConfig
    components:Components values:Values unvalidatedValues:dict
Components: base:BaseComponent pilot:Component cni:Component ztunnel:Component istiodRemote:Component
    ingressGateways:[]GatewayComponent egressGateways:[]GatewayComponent
BaseComponent: enabled:bool k8s:KubernetesSettings
Component: enabled:bool namespace hub tag:tag k8s:KubernetesSettings
GatewayComponent: enabled:bool namespace hub tag:tag k8s:KubernetesSettings name label:{}string
KubernetesSettings: affinity:Affinity env:[]EnvVar hpaSpec:HorizontalPodAutoscalerSpec imagePullPolicy
    nodeSelector:{}string podDisruptionBudget:PodDisruptionBudgetSpec podAnnotations:{}string priorityClassName
    readinessProbe:Probe replicaCount:int resources:ResourceRequirements service:ServiceSpec
    strategy:DeploymentStrategy tolerations:[]Toleration serviceAnnotations:{}string
    securityContext:PodSecurityContext volumes:[]Volume volumeMounts:[]VolumeMount overlays:[]Overlay
Overlay: apiVersion kind name patches:[]OverlayPatch
OverlayPatch: path value:any
"""

_VALUES = """
Values: cni:CNIConfig gateways:GatewaysConfig global:GlobalConfig pilot:PilotConfig ztunnel:any
    telemetry:TelemetryConfig sidecarInjectorWebhook:SidecarInjectorConfig istio_cni:CNIUsageConfig
    istioCni:CNIUsageConfig revision ownerName meshConfig:MeshConfig base:BaseConfig istiodRemote:IstiodRemoteConfig
    revisionTags:[]string defaultRevision profile compatibilityVersion experimental:ExperimentalConfig
    gatewayClasses:any
CNIConfig: enabled:bool hub tag:tag variant image pullPolicy cniBinDir cniConfDir cniConfFileName cniNetnsDir
    excludeNamespaces:[]string affinity:Affinity env:dict daemonSetLabels:dict podAnnotations:dict podLabels:dict
    psp_cluster_role pspClusterRole logLevel logging:GlobalLoggingConfig repair:CNIRepairConfig chained:bool
    resource_quotas:ResourceQuotas resourceQuotas:ResourceQuotas resources:Resources privileged:bool
    seccompProfile:SeccompProfile ambient:CNIAmbientConfig provider rollingMaxUnavailable:int_or_string
    istioOwnedCNIConfig:bool istioOwnedCNIConfigFileName useAppArmorAnnotation:bool
GlobalLoggingConfig: level
CNIRepairConfig: enabled:bool hub tag:tag image labelPods:bool repairPods:bool createEvents deletePods:bool
    brokenPodLabelKey brokenPodLabelValue initContainerName
ResourceQuotas: enabled:bool pods:count
Resources: limits:{}string requests:{}string
CNIAmbientConfig: enabled:bool configDir dnsCapture:bool ipv6:bool reconcileIptablesOnStartup:bool
GatewaysConfig: istio-egressgateway:EgressGatewayConfig enabled:bool istio-ingressgateway:IngressGatewayConfig
    securityContext:any seccompProfile:any
EgressGatewayConfig: autoscaleEnabled:bool autoscaleMax:count autoscaleMin:count memory:TargetUtilizationConfig
    cpu:TargetUtilizationConfig customService:bool enabled:bool env:dict labels:{}string name nodeSelector:dict
    podAnnotations:dict podAntiAffinityLabelSelector:[]dict podAntiAffinityTermLabelSelector:[]dict
    ports:[]PortsConfig resources:Resources secretVolumes:[]SecretVolume serviceAnnotations:dict type
    tolerations:[]Toleration rollingMaxSurge:int_or_string rollingMaxUnavailable:int_or_string configVolumes:[]dict
    additionalContainers:[]dict runAsRoot:bool injectionTemplate serviceAccount:ServiceAccount ipFamilies:[]string
    ipFamilyPolicy
TargetUtilizationConfig: targetAverageUtilization:count
PortsConfig: name port:count nodePort:count targetPort:count protocol
SecretVolume: mountPath name secretName
ServiceAccount: annotations:dict
IngressGatewayConfig: autoscaleEnabled:bool autoscaleMax:count autoscaleMin:count memory:TargetUtilizationConfig
    cpu:TargetUtilizationConfig customService:bool enabled:bool env:dict labels:{}string loadBalancerIP
    loadBalancerSourceRanges:[]string name nodeSelector:dict podAnnotations:dict podAntiAffinityLabelSelector:[]dict
    podAntiAffinityTermLabelSelector:[]dict ports:[]PortsConfig replicaCount:count resources:dict
    secretVolumes:[]SecretVolume serviceAnnotations:dict type rollingMaxSurge:int_or_string
    rollingMaxUnavailable:int_or_string externalTrafficPolicy tolerations:[]Toleration ingressPorts:[]dict
    additionalContainers:[]dict configVolumes:[]dict runAsRoot:bool injectionTemplate serviceAccount:ServiceAccount
    ipFamilies:[]string ipFamilyPolicy
GlobalConfig: arch:ArchConfig certSigners:[]string configValidation:bool defaultNodeSelector:dict
    defaultPodDisruptionBudget:DefaultPodDisruptionBudgetConfig defaultResources:DefaultResourcesConfig
    defaultTolerations:[]Toleration hub imagePullPolicy imagePullSecrets:[]string istioNamespace logAsJson:bool
    logging:GlobalLoggingConfig meshID meshNetworks:dict multiCluster:MultiClusterConfig network
    podDNSSearchNamespaces:[]string omitSidecarInjectorConfigMap:bool operatorManageWebhooks:bool priorityClassName
    proxy:ProxyConfig proxy_init:ProxyInitConfig sds:SDSConfig tag:tag variant tracer:TracerConfig
    remotePilotAddress istiod:IstiodConfig pilotCertProvider jwtPolicy sts:STSConfig revision mountMtlsCerts:bool
    caAddress externalIstiod:bool configCluster:bool caName platform ipFamilies:[]string ipFamilyPolicy
    waypoint:WaypointConfig trustBundleName nativeNftables:bool networkPolicy:NetworkPolicyConfig
    resourceScope:enum agentgateway:Agentgateway enableReaderRBAC:bool readerServiceAccount:ReaderServiceAccount
ArchConfig: amd64:count ppc64le:count s390x:count arm64:count
DefaultPodDisruptionBudgetConfig: enabled:bool
DefaultResourcesConfig: requests:ResourcesRequestsConfig
ResourcesRequestsConfig: cpu memory
MultiClusterConfig: enabled:bool clusterName globalDomainSuffix includeEnvoyFilter:bool
ProxyConfig: autoInject clusterDomain componentLogLevel enableCoreDump:bool excludeInboundPorts excludeIPRanges
    image includeIPRanges logLevel outlierLogPath privileged:bool readinessInitialDelaySeconds:count
    readinessPeriodSeconds:count readinessFailureThreshold:count seccompProfile:SeccompProfile
    startupProbe:StartupProbe statusPort:count resources:Resources tracer:enum excludeOutboundPorts
    lifecycle:Lifecycle holdApplicationUntilProxyStarts:bool includeInboundPorts includeOutboundPorts
StartupProbe: enabled:bool failureThreshold:count
ProxyInitConfig: image resources:Resources
SDSConfig: token:dict
TracerConfig: datadog:TracerDatadogConfig lightstep:TracerLightStepConfig zipkin:TracerZipkinConfig
    stackdriver:TracerStackdriverConfig
TracerDatadogConfig: address
TracerLightStepConfig: address accessToken
TracerZipkinConfig: address
TracerStackdriverConfig: debug:bool maxNumberOfAttributes:count maxNumberOfAnnotations:count
    maxNumberOfMessageEvents:count
IstiodConfig: enableAnalysis:bool
STSConfig: servicePort:count
WaypointConfig: resources:Resources affinity:Affinity topologySpreadConstraints:[]TopologySpreadConstraint
    nodeSelector:dict toleration:[]Toleration
NetworkPolicyConfig: enabled:bool
Agentgateway: image
ReaderServiceAccount: name namespace
PilotConfig: enabled:bool autoscaleEnabled:bool autoscaleMin:count autoscaleMax:count autoscaleBehavior:dict
    replicaCount:count image traceSampling:number resources:Resources cpu:TargetUtilizationConfig nodeSelector:dict
    keepaliveMaxServerConnectionAge deploymentLabels:dict podLabels:dict configMap:bool env:dict affinity:Affinity
    rollingMaxSurge:int_or_string rollingMaxUnavailable:int_or_string tolerations:[]Toleration podAnnotations:dict
    serviceAnnotations:dict serviceAccountAnnotations:dict jwksResolverExtraRootCA hub tag:tag variant
    seccompProfile:SeccompProfile topologySpreadConstraints:[]TopologySpreadConstraint extraContainerArgs:[]dict
    volumeMounts:[]VolumeMount volumes:[]Volume ipFamilies:[]string ipFamilyPolicy memory:TargetUtilizationConfig
    cni:CNIUsageConfig taint:PilotTaintControllerConfig trustedZtunnelNamespace istiodRemote:IstiodRemoteConfig
    envVarFrom:[]dict crlConfigMapName
CNIUsageConfig: enabled:bool chained:bool provider
PilotTaintControllerConfig: enabled:bool namespace name
IstiodRemoteConfig: injectionURL injectionPath injectionCABundle enabled:bool enabledLocalInjectorIstiod:bool
TelemetryConfig: enabled:bool v2:TelemetryV2Config
TelemetryV2Config: enabled:bool prometheus:TelemetryV2PrometheusConfig stackdriver:TelemetryV2StackDriverConfig
TelemetryV2PrometheusConfig: enabled:bool
TelemetryV2StackDriverConfig: enabled:bool
SidecarInjectorConfig: enableNamespacesByDefault:bool reinvocationPolicy neverInjectSelector:[]LabelSelector
    alwaysInjectSelector:[]LabelSelector rewriteAppHTTPProbe:bool injectedAnnotations:dict injectionURL
    templates:dict defaultTemplates:[]string
BaseConfig: enableCRDTemplates:bool excludedCRDs:[]string validationURL enableIstioConfigCRDs:bool
    validateGateway:bool validationCABundle
ExperimentalConfig: stableValidationPolicy:bool
"""

_MESH_CONFIG = """
MeshConfig: proxyListenPort:count proxyInboundListenPort:count proxyHttpPort:count connectTimeout hboneIdleTimeout
    protocolDetectionTimeout tcpKeepalive:MeshConnectionPoolSettingsTCPSettingsTcpKeepalive ingressClass
    ingressService ingressControllerMode:enum ingressSelector enableTracing:bool accessLogFile accessLogFormat
    accessLogEncoding:enum enableEnvoyAccessLogService:bool disableEnvoyListenerLog:bool
    defaultConfig:MeshProxyConfig outboundTrafficPolicy:MeshConfigOutboundTrafficPolicy
    inboundTrafficPolicy:MeshConfigInboundTrafficPolicy configSources:[]MeshConfigSource enableAutoMtls:bool
    trustDomain trustDomainAliases:[]string caCertificates:[]MeshConfigCertificateData
    defaultServiceExportTo:[]string defaultVirtualServiceExportTo:[]string defaultDestinationRuleExportTo:[]string
    rootNamespace localityLbSetting:MeshLocalityLoadBalancerSetting
    zoneAwareLbSetting:MeshZoneAwareLoadBalancerSetting dnsRefreshRate h2UpgradePolicy:enum inboundClusterStatName
    outboundClusterStatName certificates:[]MeshCertificate serviceSettings:[]MeshConfigServiceSettings
    serviceScopeConfigs:[]MeshConfigServiceScopeConfigs enablePrometheusMerge:bool verifyCertificateAtClient:bool
    ca:MeshConfigCA extensionProviders:[]MeshConfigExtensionProvider defaultProviders:MeshConfigDefaultProviders
    discoverySelectors:[]MeshLabelSelector pathNormalization:MeshConfigProxyPathNormalization
    defaultHttpRetryPolicy:MeshHTTPRetry meshMTLS:MeshConfigTLSConfig tlsDefaults:MeshConfigTLSConfig
    defaultTrafficPolicy:MeshConfigDefaultTrafficPolicy serviceEntryVisibility:MeshServiceEntryVisibility
MeshConnectionPoolSettingsTCPSettingsTcpKeepalive: probes:count time interval
MeshProxyConfig: configPath binaryPath serviceCluster tracingServiceName:enum drainDuration discoveryAddress
    discoveryRefreshDelay zipkinAddress statsdUdpAddress envoyMetricsServiceAddress proxyAdminPort:count
    availabilityZone controlPlaneAuthPolicy:enum customConfigFile statNameLength:count concurrency:count
    proxyBootstrapTemplatePath interceptionMode:enum tracing:MeshTracing sds:MeshSDS
    envoyAccessLogService:MeshRemoteService envoyMetricsService:MeshRemoteService proxyMetadata:{}string
    runtimeValues:{}string statusPort:count extraStatTags:[]string gatewayTopology:MeshTopology
    terminationDrainDuration meshId readinessProbe:MeshReadinessProbe
    proxyStatsMatcher:MeshProxyConfigProxyStatsMatcher holdApplicationUntilProxyStarts:bool
    caCertificatesPem:[]string image:MeshProxyImage privateKeyProvider:MeshPrivateKeyProvider
    proxyHeaders:MeshProxyConfigProxyHeaders fileFlushInterval fileFlushMinSizeKb:count statsCompression:bool
    connectionSettings:MeshProxyConfigConnectionSettings
MeshTracing: zipkin:MeshTracingZipkin lightstep:MeshTracingLightstep datadog:MeshTracingDatadog
    stackdriver:MeshTracingStackdriver openCensusAgent:MeshTracingOpenCensusAgent customTags:{}MeshTracingCustomTag
    maxPathTagLength:count sampling:number tlsSettings:MeshClientTLSSettings enableIstioTags:bool
MeshTracingZipkin: address
MeshTracingLightstep: address accessToken
MeshTracingDatadog: address
MeshTracingStackdriver: debug:bool maxNumberOfAttributes:count maxNumberOfAnnotations:count
    maxNumberOfMessageEvents:count
MeshTracingOpenCensusAgent: address context:[]enum
MeshTracingCustomTag: literal:MeshTracingLiteral environment:MeshTracingEnvironment header:MeshTracingRequestHeader
MeshTracingLiteral: value
MeshTracingEnvironment: name defaultValue
MeshTracingRequestHeader: name defaultValue
MeshClientTLSSettings: mode:enum clientCertificate privateKey caCertificates credentialName subjectAltNames:[]string
    sni insecureSkipVerify:bool caCrl
MeshSDS: enabled:bool k8sSaJwtPath
MeshRemoteService: address tlsSettings:MeshClientTLSSettings
    tcpKeepalive:MeshConnectionPoolSettingsTCPSettingsTcpKeepalive
MeshTopology: numTrustedProxies:count forwardClientCertDetails:enum
    proxyProtocol:MeshTopologyProxyProtocolConfiguration
MeshTopologyProxyProtocolConfiguration:
MeshReadinessProbe: initialDelaySeconds:count timeoutSeconds:count periodSeconds:count successThreshold:count
    failureThreshold:count httpGet:MeshHTTPHealthCheckConfig tcpSocket:MeshTCPHealthCheckConfig
    exec:MeshExecHealthCheckConfig grpc:MeshGrpcHealthCheckConfig
MeshHTTPHealthCheckConfig: path port:count host scheme httpHeaders:[]MeshHTTPHeader
MeshHTTPHeader: name value
MeshTCPHealthCheckConfig: host port:count
MeshExecHealthCheckConfig: command:[]string
MeshGrpcHealthCheckConfig: port:count service
MeshProxyConfigProxyStatsMatcher: inclusionPrefixes:[]string inclusionSuffixes:[]string inclusionRegexps:[]string
MeshPrivateKeyProvider: cryptomb:MeshPrivateKeyProviderCryptoMb qat:MeshPrivateKeyProviderQAT
MeshPrivateKeyProviderCryptoMb: pollDelay fallback:bool
MeshPrivateKeyProviderQAT: pollDelay fallback:bool
MeshProxyConfigProxyHeaders: forwardedClientCert:enum
    setCurrentClientCertDetails:MeshProxyConfigProxyHeadersSetCurrentClientCertDetails
    requestId:MeshProxyConfigProxyHeadersRequestId server:MeshProxyConfigProxyHeadersServer
    attemptCount:MeshProxyConfigProxyHeadersAttemptCount
    envoyDebugHeaders:MeshProxyConfigProxyHeadersEnvoyDebugHeaders
    metadataExchangeHeaders:MeshProxyConfigProxyHeadersMetadataExchangeHeaders preserveHttp1HeaderCase:bool
    xForwardedHost:MeshProxyConfigProxyHeadersXForwardedHost
    xForwardedPort:MeshProxyConfigProxyHeadersXForwardedPort
MeshProxyConfigProxyHeadersSetCurrentClientCertDetails: subject:bool cert:bool chain:bool dns:bool uri:bool
MeshProxyConfigProxyHeadersRequestId: disabled:bool
MeshProxyConfigProxyHeadersServer: disabled:bool value
MeshProxyConfigProxyHeadersAttemptCount: disabled:bool
MeshProxyConfigProxyHeadersEnvoyDebugHeaders: disabled:bool
MeshProxyConfigProxyHeadersMetadataExchangeHeaders: mode:enum
MeshProxyConfigProxyHeadersXForwardedHost: enabled:bool
MeshProxyConfigProxyHeadersXForwardedPort: enabled:bool
MeshProxyConfigConnectionSettings: profile:enum listenerPerConnectionBufferLimitBytes:count
    clusterPerConnectionBufferLimitBytes:count httpIdleTimeout httpMaxConnectionDuration httpDrainTimeout
    httpRequestTimeout httpRequestHeadersTimeout httpStreamIdleTimeout httpMaxStreamDuration
    httpMaxConcurrentStreams:count http2InitialStreamWindowSize:count http2InitialConnectionWindowSize:count
    httpHeadersWithUnderscoresAction:enum httpMergeSlashes:bool httpPathWithEscapedSlashesAction:enum
    listenerConnectionLimit:count globalDownstreamConnectionLimit:count
MeshConfigOutboundTrafficPolicy: mode:enum tls:MeshClientTLSSettings
MeshConfigInboundTrafficPolicy: mode:enum
MeshConfigSource: address tlsSettings:MeshClientTLSSettings subscribedResources:[]enum
MeshConfigCertificateData: pem spiffeBundleUrl certSigners:[]string trustDomains:[]string
MeshLocalityLoadBalancerSetting: distribute:[]MeshLocalityLoadBalancerSettingDistribute
    failover:[]MeshLocalityLoadBalancerSettingFailover failoverPriority:[]string enabled:bool
MeshLocalityLoadBalancerSettingDistribute: from to:{}count
MeshLocalityLoadBalancerSettingFailover: from to
MeshZoneAwareLoadBalancerSetting: enabled:bool failover:[]MeshZoneAwareLoadBalancerSettingFailover
    failoverPriority:[]string minClusterSize:count
MeshZoneAwareLoadBalancerSettingFailover: from to
MeshCertificate: secretName dnsNames:[]string
MeshConfigServiceSettings: settings:MeshConfigServiceSettingsSettings hosts:[]string
MeshConfigServiceSettingsSettings: clusterLocal:bool
MeshConfigServiceScopeConfigs: namespaceSelector:MeshLabelSelector servicesSelector:MeshLabelSelector scope:enum
MeshLabelSelector: matchLabels:{}string matchExpressions:[]MeshLabelSelectorRequirement
MeshLabelSelectorRequirement: key operator values:[]string
MeshConfigCA: address tlsSettings:MeshClientTLSSettings requestTimeout istiodSide:bool
MeshConfigExtensionProvider: name
    envoyExtAuthzHttp:MeshConfigExtensionProviderEnvoyExternalAuthorizationHttpProvider
    envoyExtAuthzGrpc:MeshConfigExtensionProviderEnvoyExternalAuthorizationGrpcProvider
    zipkin:MeshConfigExtensionProviderZipkinTracingProvider
    lightstep:MeshConfigExtensionProviderLightstepTracingProvider
    datadog:MeshConfigExtensionProviderDatadogTracingProvider
    stackdriver:MeshConfigExtensionProviderStackdriverProvider
    opencensus:MeshConfigExtensionProviderOpenCensusAgentTracingProvider
    skywalking:MeshConfigExtensionProviderSkyWalkingTracingProvider
    opentelemetry:MeshConfigExtensionProviderOpenTelemetryTracingProvider
    prometheus:MeshConfigExtensionProviderPrometheusMetricsProvider
    envoyFileAccessLog:MeshConfigExtensionProviderEnvoyFileAccessLogProvider
    envoyHttpAls:MeshConfigExtensionProviderEnvoyHttpGrpcV3LogProvider
    envoyTcpAls:MeshConfigExtensionProviderEnvoyTcpGrpcV3LogProvider
    envoyOtelAls:MeshConfigExtensionProviderEnvoyOpenTelemetryLogProvider sds:MeshConfigExtensionProviderSDSProvider
MeshConfigExtensionProviderEnvoyExternalAuthorizationHttpProvider: service port:count timeout pathPrefix
    failOpen:bool clearRouteCache:bool statusOnError includeHeadersInCheck:[]string
    includeRequestHeadersInCheck:[]string includeAdditionalHeadersInCheck:{}string
    includeRequestBodyInCheck:MeshConfigExtensionProviderEnvoyExternalAuthorizationRequestBody
    headersToUpstreamOnAllow:[]string headersToDownstreamOnDeny:[]string headersToDownstreamOnAllow:[]string
MeshConfigExtensionProviderEnvoyExternalAuthorizationRequestBody: maxRequestBytes:count allowPartialMessage:bool
    packAsBytes:bool
MeshConfigExtensionProviderEnvoyExternalAuthorizationGrpcProvider: service port:count timeout failOpen:bool
    clearRouteCache:bool statusOnError
    includeRequestBodyInCheck:MeshConfigExtensionProviderEnvoyExternalAuthorizationRequestBody
MeshConfigExtensionProviderZipkinTracingProvider: service port:count maxTagLength:count enable64bitTraceId:bool path
    traceContextOption:enum timeout headers:[]MeshConfigExtensionProviderHttpHeader
MeshConfigExtensionProviderHttpHeader: name value envName
MeshConfigExtensionProviderLightstepTracingProvider: service port:count accessToken maxTagLength:count
MeshConfigExtensionProviderDatadogTracingProvider: service port:count maxTagLength:count
MeshConfigExtensionProviderStackdriverProvider: debug:bool maxNumberOfAttributes:count maxNumberOfAnnotations:count
    maxNumberOfMessageEvents:count maxTagLength:count logging:MeshConfigExtensionProviderStackdriverProviderLogging
MeshConfigExtensionProviderStackdriverProviderLogging: labels:{}string
MeshConfigExtensionProviderOpenCensusAgentTracingProvider: service port:count context:[]enum maxTagLength:count
MeshConfigExtensionProviderSkyWalkingTracingProvider: service port:count accessToken
MeshConfigExtensionProviderOpenTelemetryTracingProvider: service port:count maxTagLength:count
    http:MeshConfigExtensionProviderHttpService grpc:MeshConfigExtensionProviderGrpcService
    resourceDetectors:MeshConfigExtensionProviderResourceDetectors serviceAttributeEnrichment:enum
    dynatraceSampler:MeshConfigExtensionProviderOpenTelemetryTracingProviderDynatraceSampler
MeshConfigExtensionProviderHttpService: path timeout headers:[]MeshConfigExtensionProviderHttpHeader
MeshConfigExtensionProviderGrpcService: timeout initialMetadata:[]MeshConfigExtensionProviderHttpHeader
MeshConfigExtensionProviderResourceDetectors:
    environment:MeshConfigExtensionProviderResourceDetectorsEnvironmentResourceDetector
    dynatrace:MeshConfigExtensionProviderResourceDetectorsDynatraceResourceDetector
MeshConfigExtensionProviderResourceDetectorsEnvironmentResourceDetector:
MeshConfigExtensionProviderResourceDetectorsDynatraceResourceDetector:
MeshConfigExtensionProviderOpenTelemetryTracingProviderDynatraceSampler: tenant clusterId:count
    rootSpansPerMinute:count
    httpService:MeshConfigExtensionProviderOpenTelemetryTracingProviderDynatraceSamplerDynatraceApi
MeshConfigExtensionProviderOpenTelemetryTracingProviderDynatraceSamplerDynatraceApi: service port:count
    http:MeshConfigExtensionProviderHttpService
MeshConfigExtensionProviderPrometheusMetricsProvider:
MeshConfigExtensionProviderEnvoyFileAccessLogProvider: path
    logFormat:MeshConfigExtensionProviderEnvoyFileAccessLogProviderLogFormat omitEmptyValues:bool
MeshConfigExtensionProviderEnvoyFileAccessLogProviderLogFormat: text labels:dict
MeshConfigExtensionProviderEnvoyHttpGrpcV3LogProvider: service port:count logName filterStateObjectsToLog:[]string
    additionalRequestHeadersToLog:[]string additionalResponseHeadersToLog:[]string
    additionalResponseTrailersToLog:[]string
MeshConfigExtensionProviderEnvoyTcpGrpcV3LogProvider: service port:count logName filterStateObjectsToLog:[]string
MeshConfigExtensionProviderEnvoyOpenTelemetryLogProvider: service port:count logName
    logFormat:MeshConfigExtensionProviderEnvoyOpenTelemetryLogProviderLogFormat
MeshConfigExtensionProviderEnvoyOpenTelemetryLogProviderLogFormat: text labels:dict
MeshConfigExtensionProviderSDSProvider: name service port:count
MeshConfigDefaultProviders: tracing:[]string metrics:[]string accessLogging:[]string
MeshConfigProxyPathNormalization: normalization:enum
MeshHTTPRetry: attempts:count perTryTimeout retryOn retryRemoteLocalities:bool retryIgnorePreviousHosts:bool backoff
MeshConfigTLSConfig: minProtocolVersion:enum ecdhCurves:[]string cipherSuites:[]string
MeshConfigDefaultTrafficPolicy: connectionPool:MeshConnectionPoolSettings outlierDetection:MeshOutlierDetection
MeshConnectionPoolSettings: tcp:MeshConnectionPoolSettingsTCPSettings http:MeshConnectionPoolSettingsHTTPSettings
MeshConnectionPoolSettingsTCPSettings: maxConnections:count connectTimeout
    tcpKeepalive:MeshConnectionPoolSettingsTCPSettingsTcpKeepalive maxConnectionDuration idleTimeout
MeshConnectionPoolSettingsHTTPSettings: http1MaxPendingRequests:count http2MaxRequests:count
    maxRequestsPerConnection:count maxRetries:count idleTimeout h2UpgradePolicy:enum useClientProtocol:bool
    maxConcurrentStreams:count http2KeepAlive:MeshConnectionPoolSettingsHTTPSettingsConnectionKeepalive
MeshConnectionPoolSettingsHTTPSettingsConnectionKeepalive: interval timeout
MeshOutlierDetection: consecutiveErrors:count splitExternalLocalOriginErrors:bool
    consecutiveLocalOriginFailures:count consecutiveGatewayErrors:count consecutive5xxErrors:count interval
    baseEjectionTime maxEjectionPercent:count minHealthPercent:count outlierDetectionHttpErrorCodes:[]count
MeshServiceEntryVisibility: defaultVisibility:enum applyToSidecars:bool policies:[]MeshServiceEntryVisibilityPolicy
MeshServiceEntryVisibilityPolicy: visibility:enum matchingRules:[]MeshServiceEntryVisibilityMatchRule
MeshServiceEntryVisibilityMatchRule: namespaceSelector:MeshLabelSelector
MeshProxyImage: imageType
"""

_KUBERNETES = """
Affinity: nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
AppArmorProfile: localhostProfile type
ClientIPConfig: timeoutSeconds:int
ConfigMapKeySelector: key name optional:bool
ConfigMapProjection: items:[]KeyToPath name optional:bool
ConfigMapVolumeSource: defaultMode:int items:[]KeyToPath name optional:bool
ContainerResourceMetricSource: container name target:MetricTarget
CoreV1ResourceClaim: name request
CrossVersionObjectReference: apiVersion kind name
DeploymentStrategy: rollingUpdate:RollingUpdateDeployment type
DownwardAPIProjection: items:[]DownwardAPIVolumeFile
DownwardAPIVolumeFile: fieldRef:ObjectFieldSelector mode:int path resourceFieldRef:ResourceFieldSelector
DownwardAPIVolumeSource: defaultMode:int items:[]DownwardAPIVolumeFile
EmptyDirVolumeSource: medium sizeLimit:quantity
EnvVar: name value valueFrom:EnvVarSource
EnvVarSource: configMapKeyRef:ConfigMapKeySelector fieldRef:ObjectFieldSelector fileKeyRef:FileKeySelector
    resourceFieldRef:ResourceFieldSelector secretKeyRef:SecretKeySelector
ExecAction: command:[]string
ExternalMetricSource: metric:MetricIdentifier target:MetricTarget
FileKeySelector: key optional:bool path volumeName
GRPCAction: mode port:int service
HPAScalingPolicy: periodSeconds:int type value:int
HPAScalingRules: policies:[]HPAScalingPolicy selectPolicy stabilizationWindowSeconds:int tolerance:quantity
HTTPGetAction: host httpHeaders:[]HTTPHeader path port:int_or_string protocol scheme
HTTPHeader: name value
HorizontalPodAutoscalerBehavior: scaleDown:HPAScalingRules scaleUp:HPAScalingRules
HorizontalPodAutoscalerSpec: behavior:HorizontalPodAutoscalerBehavior maxReplicas:int metrics:[]MetricSpec
    minReplicas:int scaleTargetRef:CrossVersionObjectReference
HostPathVolumeSource: path type
KeyToPath: key mode:int path
LabelSelector: matchExpressions:[]LabelSelectorRequirement matchLabels:{}string
LabelSelectorRequirement: key operator values:[]string
Lifecycle: postStart:LifecycleHandler preStop:LifecycleHandler stopSignal
LifecycleHandler: exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
MetricIdentifier: name selector:LabelSelector
MetricSpec: containerResource:ContainerResourceMetricSource external:ExternalMetricSource object:ObjectMetricSource
    pods:PodsMetricSource resource:ResourceMetricSource type
MetricTarget: averageUtilization:int averageValue:quantity type value:quantity
NodeAffinity: preferredDuringSchedulingIgnoredDuringExecution:[]PreferredSchedulingTerm
    requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
NodeSelector: nodeSelectorTerms:[]NodeSelectorTerm
NodeSelectorRequirement: key operator values:[]string
NodeSelectorTerm: matchExpressions:[]NodeSelectorRequirement matchFields:[]NodeSelectorRequirement
ObjectFieldSelector: apiVersion fieldPath
ObjectMetricSource: describedObject:CrossVersionObjectReference metric:MetricIdentifier target:MetricTarget
PersistentVolumeClaimVolumeSource: claimName readOnly:bool
PodAffinity: preferredDuringSchedulingIgnoredDuringExecution:[]WeightedPodAffinityTerm
    requiredDuringSchedulingIgnoredDuringExecution:[]PodAffinityTerm
PodAffinityTerm: labelSelector:LabelSelector matchLabelKeys:[]string mismatchLabelKeys:[]string
    namespaceSelector:LabelSelector namespaces:[]string topologyKey
PodAntiAffinity: preferredDuringSchedulingIgnoredDuringExecution:[]WeightedPodAffinityTerm
    requiredDuringSchedulingIgnoredDuringExecution:[]PodAffinityTerm
PodDisruptionBudgetSpec: maxUnavailable:int_or_string minAvailable:int_or_string selector:LabelSelector
    unhealthyPodEvictionPolicy
PodSecurityContext: appArmorProfile:AppArmorProfile fsGroup:int fsGroupChangePolicy runAsGroup:int runAsNonRoot:bool
    runAsUser:int seLinuxChangePolicy seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile
    supplementalGroups:[]int supplementalGroupsPolicy sysctls:[]Sysctl windowsOptions:WindowsSecurityContextOptions
PodsMetricSource: metric:MetricIdentifier target:MetricTarget
PreferredSchedulingTerm: preference:NodeSelectorTerm weight:int
Probe: exec:ExecAction failureThreshold:int grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:int
    periodSeconds:int successThreshold:int tcpSocket:TCPSocketAction terminationGracePeriodSeconds:int
    timeoutSeconds:int
ProjectedVolumeSource: defaultMode:int sources:[]VolumeProjection
ResourceFieldSelector: containerName divisor:quantity resource
ResourceMetricSource: name target:MetricTarget
ResourceRequirements: claims:[]CoreV1ResourceClaim limits:{}quantity requests:{}quantity
RollingUpdateDeployment: maxSurge:int_or_string maxUnavailable:int_or_string
SELinuxOptions: level role type user
SeccompProfile: localhostProfile type
SecretKeySelector: key name optional:bool
SecretProjection: items:[]KeyToPath name optional:bool
SecretVolumeSource: defaultMode:int items:[]KeyToPath optional:bool secretName
ServiceAccountTokenProjection: audience expirationSeconds:int path
ServicePort: appProtocol name nodePort:int port:int protocol targetPort:int_or_string
ServiceSpec: allocateLoadBalancerNodePorts:bool clusterIP clusterIPs:[]string externalIPs:[]string externalName
    externalTrafficPolicy healthCheckNodePort:int internalTrafficPolicy ipFamilies:[]string ipFamilyPolicy
    loadBalancerClass loadBalancerIP loadBalancerSourceRanges:[]string ports:[]ServicePort
    publishNotReadyAddresses:bool selector:{}string sessionAffinity sessionAffinityConfig:SessionAffinityConfig
    trafficDistribution type
SessionAffinityConfig: clientIP:ClientIPConfig
SleepAction: seconds:int
Sysctl: name value
TCPSocketAction: host port:int_or_string
Toleration: effect key operator tolerationSeconds:int value
TopologySpreadConstraint: labelSelector:LabelSelector matchLabelKeys:[]string maxSkew:int minDomains:int
    nodeAffinityPolicy nodeTaintsPolicy topologyKey whenUnsatisfiable
Volume: awsElasticBlockStore:dict azureDisk:dict azureFile:dict cephfs:dict cinder:dict
    configMap:ConfigMapVolumeSource csi:dict downwardAPI:DownwardAPIVolumeSource emptyDir:EmptyDirVolumeSource
    ephemeral:dict fc:dict flexVolume:dict flocker:dict gcePersistentDisk:dict gitRepo:dict glusterfs:dict
    hostPath:HostPathVolumeSource image:dict iscsi:dict name nfs:dict
    persistentVolumeClaim:PersistentVolumeClaimVolumeSource photonPersistentDisk:dict portworxVolume:dict
    projected:ProjectedVolumeSource quobyte:dict rbd:dict scaleIO:dict secret:SecretVolumeSource storageos:dict
    vsphereVolume:dict
VolumeMount: mountPath mountPropagation name readOnly:bool recursiveReadOnly subPath subPathExpr
VolumeProjection: clusterTrustBundle:dict configMap:ConfigMapProjection downwardAPI:DownwardAPIProjection
    podCertificate:dict secret:SecretProjection serviceAccountToken:ServiceAccountTokenProjection
WeightedPodAffinityTerm: podAffinityTerm:PodAffinityTerm weight:int
WindowsSecurityContextOptions: gmsaCredentialSpec gmsaCredentialSpecName hostProcess:bool runAsUserName
"""


def _read(table: str) -> None:
    for line in table.replace("\n    ", " ").strip().splitlines():
        name, _colon, fields = line.partition(":")
        TYPES[name] = {field.partition(":")[0]: field.partition(":")[2] or "string" for field in fields.split()}


for _table in (_DOCUMENT, _VALUES, _MESH_CONFIG, _KUBERNETES):
    _read(_table)
