{{- define "operator.labels" -}}
app.kubernetes.io/name: istio-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: istio-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ .Release.Name }}
{{- end }}

{{- define "operator.namespaces" -}}
{{- concat .Values.watchNamespaces .Values.managedNamespaces | uniq | toJson }}
{{- end }}
