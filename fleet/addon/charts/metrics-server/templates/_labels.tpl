{{- define "labels" -}}
app.kubernetes.io/name: metrics-server
app.kubernetes.io/managed-by: slipway
k8s-app: metrics-server
{{- end -}}
