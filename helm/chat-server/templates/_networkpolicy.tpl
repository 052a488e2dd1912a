{{/* The egress rule for DNS. */}}
{{- define "chat-server.networkPolicy.dns" -}}
{{- with .Values.networkPolicy.dns -}}
# DNS.
- ports:
    {{- range .ports }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The egress rule for the database; nothing with SQLite. */}}
{{- define "chat-server.networkPolicy.database" -}}
{{- if eq .Values.database.type "mysql" -}}
# The database.
- ports: [{protocol: TCP, port: 3306}]
  to:
    - podSelector:
        matchLabels:
          {{- include "chat-server.selectorLabels" (dict "root" . "component" "mysql") | nindent 10 }}
{{- else if eq .Values.database.type "external" -}}
# The database.
- ports:
    {{- range .Values.externalDatabase.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .Values.externalDatabase.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The port of a URL. Takes the URL. */}}
{{- define "chat-server.urlPort" -}}
{{- $url := urlParse . }}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (eq $url.scheme "https" | ternary "443" "80") }}
{{- end }}
