{{- define "corefile" -}}
.:53 {
    errors
    health {
        lameduck 5s
    }
    ready
    kubernetes {{ .Values.slipway.clusterDomain }} in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :9153
{{- with .Values.upstreams }}
    forward . {{ join " " . }} {
        max_concurrent 1000
    }
    loop
{{- end }}
{{- with .Values.cacheSeconds }}
    cache {{ . }}
{{- end }}
    reload
    loadbalance
}
{{- with .Values.extraServers }}
{{ . | trim }}
{{- end }}
{{ end -}}

{{- define "labels" -}}
app.kubernetes.io/name: coredns
app.kubernetes.io/managed-by: slipway
k8s-app: kube-dns
{{- end -}}
