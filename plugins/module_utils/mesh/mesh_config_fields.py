# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fields of Istio's mesh configuration: names and types of istio.mesh.v1alpha1.MeshConfig and all that it holds.

A line is a message and its fields as C(name:type); C(*) before a type means a list, C(%) a map with strings as keys.
Written down from the protocol definitions of Istio 1.31 (mesh/v1alpha1 in istio/api).
"""

from __future__ import annotations

#: The Istio version that the tables are from: major and minor.
ISTIO = (1, 31)

MESSAGES = """
MeshConfig proxyListenPort:int proxyInboundListenPort:int proxyHttpPort:int connectTimeout:duration
    hboneIdleTimeout:duration protocolDetectionTimeout:duration
    tcpKeepalive:ConnectionPoolSettings.TCPSettings.TcpKeepalive ingressClass:string ingressService:string
    ingressControllerMode:MeshConfig.IngressControllerMode ingressSelector:string enableTracing:bool
    accessLogFile:string accessLogFormat:string accessLogEncoding:MeshConfig.AccessLogEncoding
    enableEnvoyAccessLogService:bool disableEnvoyListenerLog:bool defaultConfig:ProxyConfig
    outboundTrafficPolicy:MeshConfig.OutboundTrafficPolicy inboundTrafficPolicy:MeshConfig.InboundTrafficPolicy
    configSources:*ConfigSource enableAutoMtls:bool trustDomain:string trustDomainAliases:*string
    caCertificates:*MeshConfig.CertificateData defaultServiceExportTo:*string defaultVirtualServiceExportTo:*string
    defaultDestinationRuleExportTo:*string rootNamespace:string localityLbSetting:LocalityLoadBalancerSetting
    zoneAwareLbSetting:ZoneAwareLoadBalancerSetting dnsRefreshRate:duration h2UpgradePolicy:MeshConfig.H2UpgradePolicy
    inboundClusterStatName:string outboundClusterStatName:string certificates:*Certificate
    serviceSettings:*MeshConfig.ServiceSettings serviceScopeConfigs:*MeshConfig.ServiceScopeConfigs
    enablePrometheusMerge:bool verifyCertificateAtClient:bool ca:MeshConfig.CA
    extensionProviders:*MeshConfig.ExtensionProvider defaultProviders:MeshConfig.DefaultProviders
    discoverySelectors:*LabelSelector pathNormalization:MeshConfig.ProxyPathNormalization
    defaultHttpRetryPolicy:HTTPRetry meshMTLS:MeshConfig.TLSConfig tlsDefaults:MeshConfig.TLSConfig
    defaultTrafficPolicy:MeshConfig.DefaultTrafficPolicy serviceEntryVisibility:ServiceEntryVisibility
Certificate secretName:string dnsNames:*string
ConfigSource address:string tlsSettings:ClientTLSSettings subscribedResources:*Resource
LabelSelector matchLabels:%string matchExpressions:*LabelSelectorRequirement
LabelSelectorRequirement key:string operator:string values:*string
MeshConfig.CA address:string tlsSettings:ClientTLSSettings requestTimeout:duration istiodSide:bool
MeshConfig.CertificateData pem:string spiffeBundleUrl:string certSigners:*string trustDomains:*string
MeshConfig.DefaultProviders tracing:*string metrics:*string accessLogging:*string
MeshConfig.DefaultTrafficPolicy connectionPool:ConnectionPoolSettings outlierDetection:OutlierDetection
MeshConfig.ExtensionProvider name:string
    envoyExtAuthzHttp:MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationHttpProvider
    envoyExtAuthzGrpc:MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationGrpcProvider
    zipkin:MeshConfig.ExtensionProvider.ZipkinTracingProvider
    lightstep:MeshConfig.ExtensionProvider.LightstepTracingProvider
    datadog:MeshConfig.ExtensionProvider.DatadogTracingProvider
    stackdriver:MeshConfig.ExtensionProvider.StackdriverProvider
    opencensus:MeshConfig.ExtensionProvider.OpenCensusAgentTracingProvider
    skywalking:MeshConfig.ExtensionProvider.SkyWalkingTracingProvider
    opentelemetry:MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider
    prometheus:MeshConfig.ExtensionProvider.PrometheusMetricsProvider
    envoyFileAccessLog:MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider
    envoyHttpAls:MeshConfig.ExtensionProvider.EnvoyHttpGrpcV3LogProvider
    envoyTcpAls:MeshConfig.ExtensionProvider.EnvoyTcpGrpcV3LogProvider
    envoyOtelAls:MeshConfig.ExtensionProvider.EnvoyOpenTelemetryLogProvider
    sds:MeshConfig.ExtensionProvider.SDSProvider
MeshConfig.ExtensionProvider.DatadogTracingProvider service:string port:int maxTagLength:int
MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationGrpcProvider service:string port:int timeout:duration
    failOpen:bool clearRouteCache:bool statusOnError:string
    includeRequestBodyInCheck:MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationRequestBody
MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationHttpProvider service:string port:int timeout:duration
    pathPrefix:string failOpen:bool clearRouteCache:bool statusOnError:string includeHeadersInCheck:*string
    includeRequestHeadersInCheck:*string includeAdditionalHeadersInCheck:%string
    includeRequestBodyInCheck:MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationRequestBody
    headersToUpstreamOnAllow:*string headersToDownstreamOnDeny:*string headersToDownstreamOnAllow:*string
MeshConfig.ExtensionProvider.EnvoyExternalAuthorizationRequestBody maxRequestBytes:int allowPartialMessage:bool
    packAsBytes:bool
MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider path:string
    logFormat:MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider.LogFormat omitEmptyValues:bool
MeshConfig.ExtensionProvider.EnvoyFileAccessLogProvider.LogFormat text:string labels:any
MeshConfig.ExtensionProvider.EnvoyHttpGrpcV3LogProvider service:string port:int logName:string
    filterStateObjectsToLog:*string additionalRequestHeadersToLog:*string additionalResponseHeadersToLog:*string
    additionalResponseTrailersToLog:*string
MeshConfig.ExtensionProvider.EnvoyOpenTelemetryLogProvider service:string port:int logName:string
    logFormat:MeshConfig.ExtensionProvider.EnvoyOpenTelemetryLogProvider.LogFormat
MeshConfig.ExtensionProvider.EnvoyOpenTelemetryLogProvider.LogFormat text:string labels:any
MeshConfig.ExtensionProvider.EnvoyTcpGrpcV3LogProvider service:string port:int logName:string
    filterStateObjectsToLog:*string
MeshConfig.ExtensionProvider.GrpcService timeout:duration initialMetadata:*MeshConfig.ExtensionProvider.HttpHeader
MeshConfig.ExtensionProvider.HttpHeader name:string value:string envName:string
MeshConfig.ExtensionProvider.HttpService path:string timeout:duration headers:*MeshConfig.ExtensionProvider.HttpHeader
MeshConfig.ExtensionProvider.LightstepTracingProvider service:string port:int accessToken:string maxTagLength:int
MeshConfig.ExtensionProvider.OpenCensusAgentTracingProvider service:string port:int
    context:*MeshConfig.ExtensionProvider.OpenCensusAgentTracingProvider.TraceContext maxTagLength:int
MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider service:string port:int maxTagLength:int
    http:MeshConfig.ExtensionProvider.HttpService grpc:MeshConfig.ExtensionProvider.GrpcService
    resourceDetectors:MeshConfig.ExtensionProvider.ResourceDetectors
    serviceAttributeEnrichment:MeshConfig.ExtensionProvider.ServiceAttributeEnrichment
    dynatraceSampler:MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider.DynatraceSampler
MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider.DynatraceSampler tenant:string clusterId:int
    rootSpansPerMinute:int
    httpService:MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider.DynatraceSampler.DynatraceApi
MeshConfig.ExtensionProvider.OpenTelemetryTracingProvider.DynatraceSampler.DynatraceApi service:string port:int
    http:MeshConfig.ExtensionProvider.HttpService
MeshConfig.ExtensionProvider.PrometheusMetricsProvider
MeshConfig.ExtensionProvider.ResourceDetectors
    environment:MeshConfig.ExtensionProvider.ResourceDetectors.EnvironmentResourceDetector
    dynatrace:MeshConfig.ExtensionProvider.ResourceDetectors.DynatraceResourceDetector
MeshConfig.ExtensionProvider.ResourceDetectors.DynatraceResourceDetector
MeshConfig.ExtensionProvider.ResourceDetectors.EnvironmentResourceDetector
MeshConfig.ExtensionProvider.SDSProvider name:string service:string port:int
MeshConfig.ExtensionProvider.SkyWalkingTracingProvider service:string port:int accessToken:string
MeshConfig.ExtensionProvider.StackdriverProvider debug:bool maxNumberOfAttributes:int maxNumberOfAnnotations:int
    maxNumberOfMessageEvents:int maxTagLength:int logging:MeshConfig.ExtensionProvider.StackdriverProvider.Logging
MeshConfig.ExtensionProvider.StackdriverProvider.Logging labels:%string
MeshConfig.ExtensionProvider.ZipkinTracingProvider service:string port:int maxTagLength:int enable64bitTraceId:bool
    path:string traceContextOption:MeshConfig.ExtensionProvider.ZipkinTracingProvider.TraceContextOption
    timeout:duration headers:*MeshConfig.ExtensionProvider.HttpHeader
MeshConfig.InboundTrafficPolicy mode:MeshConfig.InboundTrafficPolicy.Mode
MeshConfig.OutboundTrafficPolicy mode:MeshConfig.OutboundTrafficPolicy.Mode tls:ClientTLSSettings
MeshConfig.ProxyPathNormalization normalization:MeshConfig.ProxyPathNormalization.NormalizationType
MeshConfig.ServiceScopeConfigs namespaceSelector:LabelSelector servicesSelector:LabelSelector
    scope:MeshConfig.ServiceScopeConfigs.Scope
MeshConfig.ServiceSettings settings:MeshConfig.ServiceSettings.Settings hosts:*string
MeshConfig.ServiceSettings.Settings clusterLocal:bool
MeshConfig.TLSConfig minProtocolVersion:MeshConfig.TLSConfig.TLSProtocol ecdhCurves:*string cipherSuites:*string
PrivateKeyProvider cryptomb:PrivateKeyProvider.CryptoMb qat:PrivateKeyProvider.QAT
PrivateKeyProvider.CryptoMb pollDelay:duration fallback:bool
PrivateKeyProvider.QAT pollDelay:duration fallback:bool
ProxyConfig configPath:string binaryPath:string serviceCluster:string
    tracingServiceName:ProxyConfig.TracingServiceName drainDuration:duration discoveryAddress:string
    discoveryRefreshDelay:duration zipkinAddress:string statsdUdpAddress:string envoyMetricsServiceAddress:string
    proxyAdminPort:int availabilityZone:string controlPlaneAuthPolicy:AuthenticationPolicy customConfigFile:string
    statNameLength:int concurrency:int proxyBootstrapTemplatePath:string
    interceptionMode:ProxyConfig.InboundInterceptionMode tracing:Tracing sds:SDS envoyAccessLogService:RemoteService
    envoyMetricsService:RemoteService proxyMetadata:%string runtimeValues:%string statusPort:int extraStatTags:*string
    gatewayTopology:Topology terminationDrainDuration:duration meshId:string readinessProbe:ReadinessProbe
    proxyStatsMatcher:ProxyConfig.ProxyStatsMatcher holdApplicationUntilProxyStarts:bool caCertificatesPem:*string
    image:v1beta1.ProxyImage privateKeyProvider:PrivateKeyProvider proxyHeaders:ProxyConfig.ProxyHeaders
    fileFlushInterval:duration fileFlushMinSizeKb:int statsCompression:bool
    connectionSettings:ProxyConfig.ConnectionSettings
ProxyConfig.ConnectionSettings profile:ProxyConfig.ConnectionSettings.Profile
    listenerPerConnectionBufferLimitBytes:int clusterPerConnectionBufferLimitBytes:int httpIdleTimeout:duration
    httpMaxConnectionDuration:duration httpDrainTimeout:duration httpRequestTimeout:duration
    httpRequestHeadersTimeout:duration httpStreamIdleTimeout:duration httpMaxStreamDuration:duration
    httpMaxConcurrentStreams:int http2InitialStreamWindowSize:int http2InitialConnectionWindowSize:int
    httpHeadersWithUnderscoresAction:ProxyConfig.ConnectionSettings.HeadersWithUnderscoresAction httpMergeSlashes:bool
    httpPathWithEscapedSlashesAction:ProxyConfig.ConnectionSettings.PathWithEscapedSlashesAction
    listenerConnectionLimit:int globalDownstreamConnectionLimit:int
ProxyConfig.ProxyHeaders forwardedClientCert:ForwardClientCertDetails
    setCurrentClientCertDetails:ProxyConfig.ProxyHeaders.SetCurrentClientCertDetails
    requestId:ProxyConfig.ProxyHeaders.RequestId server:ProxyConfig.ProxyHeaders.Server
    attemptCount:ProxyConfig.ProxyHeaders.AttemptCount envoyDebugHeaders:ProxyConfig.ProxyHeaders.EnvoyDebugHeaders
    metadataExchangeHeaders:ProxyConfig.ProxyHeaders.MetadataExchangeHeaders preserveHttp1HeaderCase:bool
    xForwardedHost:ProxyConfig.ProxyHeaders.XForwardedHost xForwardedPort:ProxyConfig.ProxyHeaders.XForwardedPort
ProxyConfig.ProxyHeaders.AttemptCount disabled:bool
ProxyConfig.ProxyHeaders.EnvoyDebugHeaders disabled:bool
ProxyConfig.ProxyHeaders.MetadataExchangeHeaders mode:ProxyConfig.ProxyHeaders.MetadataExchangeMode
ProxyConfig.ProxyHeaders.RequestId disabled:bool
ProxyConfig.ProxyHeaders.Server disabled:bool value:string
ProxyConfig.ProxyHeaders.SetCurrentClientCertDetails subject:bool cert:bool chain:bool dns:bool uri:bool
ProxyConfig.ProxyHeaders.XForwardedHost enabled:bool
ProxyConfig.ProxyHeaders.XForwardedPort enabled:bool
ProxyConfig.ProxyStatsMatcher inclusionPrefixes:*string inclusionSuffixes:*string inclusionRegexps:*string
RemoteService address:string tlsSettings:ClientTLSSettings
    tcpKeepalive:ConnectionPoolSettings.TCPSettings.TcpKeepalive
SDS enabled:bool k8sSaJwtPath:string
ServiceEntryVisibility defaultVisibility:ServiceEntryVisibility.Visibility applyToSidecars:bool
    policies:*ServiceEntryVisibility.Policy
ServiceEntryVisibility.MatchRule namespaceSelector:LabelSelector
ServiceEntryVisibility.Policy visibility:ServiceEntryVisibility.Visibility
    matchingRules:*ServiceEntryVisibility.MatchRule
Topology numTrustedProxies:int forwardClientCertDetails:ForwardClientCertDetails
    proxyProtocol:Topology.ProxyProtocolConfiguration
Topology.ProxyProtocolConfiguration
Tracing zipkin:Tracing.Zipkin lightstep:Tracing.Lightstep datadog:Tracing.Datadog stackdriver:Tracing.Stackdriver
    openCensusAgent:Tracing.OpenCensusAgent customTags:%Tracing.CustomTag maxPathTagLength:int sampling:number
    tlsSettings:ClientTLSSettings enableIstioTags:bool
Tracing.CustomTag literal:Tracing.Literal environment:Tracing.Environment header:Tracing.RequestHeader
Tracing.Datadog address:string
Tracing.Environment name:string defaultValue:string
Tracing.Lightstep address:string accessToken:string
Tracing.Literal value:string
Tracing.OpenCensusAgent address:string context:*Tracing.OpenCensusAgent.TraceContext
Tracing.RequestHeader name:string defaultValue:string
Tracing.Stackdriver debug:bool maxNumberOfAttributes:int maxNumberOfAnnotations:int maxNumberOfMessageEvents:int
Tracing.Zipkin address:string
ClientTLSSettings mode:ClientTLSSettings.TLSmode clientCertificate:string privateKey:string caCertificates:string
    credentialName:string subjectAltNames:*string sni:string insecureSkipVerify:bool caCrl:string
ConnectionPoolSettings tcp:ConnectionPoolSettings.TCPSettings http:ConnectionPoolSettings.HTTPSettings
ConnectionPoolSettings.HTTPSettings http1MaxPendingRequests:int http2MaxRequests:int maxRequestsPerConnection:int
    maxRetries:int idleTimeout:duration h2UpgradePolicy:ConnectionPoolSettings.HTTPSettings.H2UpgradePolicy
    useClientProtocol:bool maxConcurrentStreams:int
    http2KeepAlive:ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive
ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive interval:duration timeout:duration
ConnectionPoolSettings.TCPSettings maxConnections:int connectTimeout:duration
    tcpKeepalive:ConnectionPoolSettings.TCPSettings.TcpKeepalive maxConnectionDuration:duration idleTimeout:duration
ConnectionPoolSettings.TCPSettings.TcpKeepalive probes:int time:duration interval:duration
ExecHealthCheckConfig command:*string
GrpcHealthCheckConfig port:int service:string
HTTPHeader name:string value:string
HTTPHealthCheckConfig path:string port:int host:string scheme:string httpHeaders:*HTTPHeader
HTTPRetry attempts:int perTryTimeout:duration retryOn:string retryRemoteLocalities:bool retryIgnorePreviousHosts:bool
    backoff:duration
LocalityLoadBalancerSetting distribute:*LocalityLoadBalancerSetting.Distribute
    failover:*LocalityLoadBalancerSetting.Failover failoverPriority:*string enabled:bool
LocalityLoadBalancerSetting.Distribute from:string to:%int
LocalityLoadBalancerSetting.Failover from:string to:string
OutlierDetection consecutiveErrors:int splitExternalLocalOriginErrors:bool consecutiveLocalOriginFailures:int
    consecutiveGatewayErrors:int consecutive5xxErrors:int interval:duration baseEjectionTime:duration
    maxEjectionPercent:int minHealthPercent:int outlierDetectionHttpErrorCodes:*int
ReadinessProbe initialDelaySeconds:int timeoutSeconds:int periodSeconds:int successThreshold:int failureThreshold:int
    httpGet:HTTPHealthCheckConfig tcpSocket:TCPHealthCheckConfig exec:ExecHealthCheckConfig grpc:GrpcHealthCheckConfig
TCPHealthCheckConfig host:string port:int
ZoneAwareLoadBalancerSetting enabled:bool failover:*ZoneAwareLoadBalancerSetting.Failover failoverPriority:*string
    minClusterSize:int
ZoneAwareLoadBalancerSetting.Failover from:string to:string
v1beta1.ProxyImage imageType:string
"""
ENUMS = """
AuthenticationPolicy NONE MUTUAL_TLS INHERIT
ForwardClientCertDetails UNDEFINED SANITIZE FORWARD_ONLY APPEND_FORWARD SANITIZE_SET ALWAYS_FORWARD_ONLY
MeshConfig.AccessLogEncoding TEXT JSON
MeshConfig.ExtensionProvider.OpenCensusAgentTracingProvider.TraceContext UNSPECIFIED W3C_TRACE_CONTEXT GRPC_BIN
    CLOUD_TRACE_CONTEXT B3
MeshConfig.ExtensionProvider.ServiceAttributeEnrichment ISTIO_CANONICAL OTEL_SEMANTIC_CONVENTIONS
MeshConfig.ExtensionProvider.ZipkinTracingProvider.TraceContextOption USE_B3 USE_B3_WITH_W3C_PROPAGATION
MeshConfig.H2UpgradePolicy DO_NOT_UPGRADE UPGRADE
MeshConfig.InboundTrafficPolicy.Mode PASSTHROUGH LOCALHOST
MeshConfig.IngressControllerMode UNSPECIFIED OFF DEFAULT STRICT
MeshConfig.OutboundTrafficPolicy.Mode REGISTRY_ONLY ALLOW_ANY ALLOW_ANY_DYNAMIC_DNS
MeshConfig.ProxyPathNormalization.NormalizationType DEFAULT NONE BASE MERGE_SLASHES DECODE_AND_MERGE_SLASHES
MeshConfig.ServiceScopeConfigs.Scope LOCAL GLOBAL
MeshConfig.TLSConfig.TLSProtocol TLS_AUTO TLSV1_2 TLSV1_3
ProxyConfig.ConnectionSettings.HeadersWithUnderscoresAction HEADERS_WITH_UNDERSCORES_UNSPECIFIED
    HEADERS_WITH_UNDERSCORES_ALLOW HEADERS_WITH_UNDERSCORES_REJECT_REQUEST HEADERS_WITH_UNDERSCORES_DROP_HEADER
ProxyConfig.ConnectionSettings.PathWithEscapedSlashesAction PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED KEEP_UNCHANGED
    REJECT_REQUEST UNESCAPE_AND_REDIRECT UNESCAPE_AND_FORWARD
ProxyConfig.ConnectionSettings.Profile SIDECAR EDGE
ProxyConfig.InboundInterceptionMode REDIRECT TPROXY NONE
ProxyConfig.ProxyHeaders.MetadataExchangeMode UNDEFINED IN_MESH
ProxyConfig.TracingServiceName APP_LABEL_AND_NAMESPACE CANONICAL_NAME_ONLY CANONICAL_NAME_AND_NAMESPACE
Resource SERVICE_REGISTRY
ServiceEntryVisibility.Visibility VISIBILITY_UNSPECIFIED NONE NAMESPACE PUBLIC
Tracing.OpenCensusAgent.TraceContext UNSPECIFIED W3C_TRACE_CONTEXT GRPC_BIN CLOUD_TRACE_CONTEXT B3
ClientTLSSettings.TLSmode DISABLE SIMPLE MUTUAL ISTIO_MUTUAL
ConnectionPoolSettings.HTTPSettings.H2UpgradePolicy DEFAULT DO_NOT_UPGRADE UPGRADE
"""
