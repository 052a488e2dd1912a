{{/* The host names that the server is published under, as a YAML list. */}}
{{- define "chat-server.hosts" -}}
{{- $hosts := list }}
{{- if .Values.httpRoute.enabled }}{{ $hosts = concat $hosts (.Values.httpRoute.hostnames | default list) }}{{ end }}
{{- if .Values.ingress.enabled }}{{ range .Values.ingress.hosts }}{{ $hosts = append $hosts .host }}{{ end }}{{ end }}
{{- toYaml ($hosts | uniq) }}
{{- end }}
