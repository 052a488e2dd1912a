{{/*
What a ServiceMonitor and a PodMonitor say about an endpoint. The rules and the dashboard look for jobs whose names end
in chat-server; Prometheus's operator would name them after the Service or the monitor. Takes dict "root" $ "monitor" ….
*/}}
{{- define "chat-server.endpoint" -}}
port: operations
path: /metrics
{{- range $field := list "interval" "scrapeTimeout" }}
{{- with get $.monitor $field }}
{{ $field }}: {{ . | quote }}
{{- end }}
{{- end }}
relabelings:
  - targetLabel: job
    replacement: {{ regexMatch "^(.+-)?chat-server$" .root.Release.Name | ternary .root.Release.Name (printf "%s-chat-server" .root.Release.Name) }}
  {{- with .monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
