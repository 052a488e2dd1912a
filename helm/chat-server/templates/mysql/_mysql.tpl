{{/* Names, passwords and scheduling of the database's objects. */}}

{{/* The Secret with the passwords, for the servers and the backup too. */}}
{{- define "chat-server.mysql.secretName" -}}
{{- .Values.mysql.auth.existingSecret | default (printf "%s-mysql" (include "chat-server.fullname" .)) }}
{{- end }}

{{- define "chat-server.mysql.serviceAccountName" -}}
{{- .Values.mysql.serviceAccount.name | default (printf "%s-mysql" (include "chat-server.fullname" .)) }}
{{- end }}

{{/* Where a pod runs and what it may do there. Takes the section of the values. */}}
{{- define "chat-server.mysql.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $ $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The volume with the passwords. Group-readable: files of a Secret belong to root, and to the fsGroup.
The file names are fixed, whatever the keys are called. Takes dict "root" $ "withRoot" true.
*/}}
{{- define "chat-server.mysql.passwords" -}}
{{- $auth := .root.Values.mysql.auth -}}
name: passwords
secret:
  secretName: {{ include "chat-server.mysql.secretName" .root | quote }}
  defaultMode: 0440
  items:
    - {key: {{ $auth.passwordKey | quote }}, path: password}
    {{- if .withRoot }}
    - {key: {{ $auth.rootPasswordKey | quote }}, path: root-password}
    {{- end }}
{{- end }}
