{{/* The volumes of the server's pods. Secrets are read by the group only. */}}
{{- define "chat-server.volumes" -}}
{{- if eq .Values.database.type "sqlite" }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .Values.sqlite.existingClaim | default (include "chat-server.fullname" .) | quote }}
{{- else if eq .Values.database.type "external" }}
{{- with .Values.externalDatabase }}
{{ include "chat-server.secretFile" (dict "name" "database" "secret" .existingSecret "key" .urlKey "path" "url") }}
{{- with .tls }}
{{ include "chat-server.secretFile" (dict "name" "database-ca" "secret" .caSecret "configMap" .caConfigMap "key" .caKey "path" "ca.crt") }}
{{- end }}
{{- end }}
{{- else }}
{{ include "chat-server.secretFile" (dict "name" "database" "secret" (include "chat-server.mysql.secretName" .) "key" .Values.mysql.auth.passwordKey "path" "password") }}
{{- end }}
{{- with .Values.telemetry.tls }}
{{ include "chat-server.secretFile" (dict "name" "telemetry-ca" "secret" .caSecret "configMap" .caConfigMap "key" .caKey "path" "ca.crt") }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* One key of a Secret or a ConfigMap as a file, or nothing when there is neither. */}}
{{- define "chat-server.secretFile" -}}
{{- if or .secret .configMap -}}
- name: {{ .name }}
  {{- if .secret }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
  {{- else }}
  configMap:
    name: {{ .configMap | quote }}
  {{- end }}
    items: [{key: {{ .key | quote }}, path: {{ .path }}}]
{{- end }}
{{- end }}

{{/* Where they are mounted: each file's folder under /etc/chat-server is named like its volume. */}}
{{- define "chat-server.volumeMounts" -}}
{{- range include "chat-server.volumes" . | fromYamlArray }}
{{- if eq .name "data" }}
- name: data
  mountPath: /data
{{- else if has .name (list "database" "database-ca" "telemetry-ca") }}
- name: {{ .name }}
  mountPath: /etc/chat-server/{{ .name }}
  readOnly: true
{{- end }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
