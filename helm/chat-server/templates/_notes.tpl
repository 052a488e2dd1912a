{{/* A path in front of the server's own ones, as far as it is plain and no pattern of a controller. Takes the path. */}}
{{- define "chat-server.notes.path" -}}
{{- . | default "/" | regexFind "^[-._~/0-9A-Za-z]*" | trimSuffix "/" }}
{{- end }}

{{/* Where the messages are, and where its password is. */}}
{{- define "chat-server.notes.database" -}}
{{- $n := printf "-n %s" (include "chat-server.namespace" .) }}
{{- if eq .Values.database.type "sqlite" }}
  SQLite on the volume claim {{ .Values.sqlite.existingClaim | default (include "chat-server.fullname" .) }}
{{- else if eq .Values.database.type "external" }}
  an external one; its URL is in the key {{ .Values.externalDatabase.urlKey }} of the Secret {{ .Values.externalDatabase.existingSecret }}
{{- if and .Values.networkPolicy.enabled (not .Values.externalDatabase.cidrs) }}
  The servers' NetworkPolicy opens {{ len .Values.externalDatabase.ports | eq 1 | ternary "port" "ports" }} {{ join ", " .Values.externalDatabase.ports }} on all addresses, because externalDatabase.cidrs is
  empty; set it to the addresses of the database.
{{- end }}
{{- else }}
  MySQL, in the pod {{ include "chat-server.fullname" . }}-mysql-0; the password of {{ .Values.mysql.auth.username }}:
  kubectl {{ $n }} get secret {{ include "chat-server.mysql.secretName" . }} -o jsonpath='{.data.{{ .Values.mysql.auth.passwordKey | replace "." "\\." }}}' | base64 -d
{{- end }}
{{- end }}

{{- define "chat-server.notes.warnings" -}}
{{- if eq .Values.database.type "mysql" }}
{{- include "chat-server.notes.password" . }}
{{- if .Values.mysql.persistence.enabled }}
- MySQL is a single pod. While it restarts, requests get 503, or are refused once no server is ready; no acknowledged
  message is lost.
  For higher availability, use a replicated database with database.type=external.
{{- else }}
- mysql.persistence.enabled is false: all messages are lost when MySQL's pod is deleted.
{{- end }}
{{- else if eq .Values.database.type "sqlite" }}
- SQLite allows only one server: an upgrade or a drain of its node interrupts the service for some seconds.
{{- end }}
{{- if not .Values.networkPolicy.enabled }}
- networkPolicy.enabled is false: every pod in the cluster can reach the operations port.
{{- end }}
{{- end }}

{{/* The Secret that a render without a cluster leaves out, and one that is there neither. */}}
{{- define "chat-server.notes.password" -}}
{{- $auth := .Values.mysql.auth }}
{{- $name := include "chat-server.mysql.secretName" . }}
{{- $cluster := or (lookup "v1" "ServiceAccount" (include "chat-server.namespace" .) "default") (lookup "v1" "Namespace" "" "default") }}
{{- $missing := not (lookup "v1" "Secret" (include "chat-server.namespace" .) $name) }}
{{- if and $missing (or $auth.existingSecret (not $cluster)) (not $auth.password) }}
- No Secret {{ $name }} was found, and this release does not create it{{ if not $auth.existingSecret }} without access to the cluster: its passwords
  would change with each rendering{{ end }}. The pods wait until it exists. Create it once:
  kubectl -n {{ include "chat-server.namespace" . }} create secret generic {{ $name }} \
    --from-literal={{ $auth.passwordKey }}="$(openssl rand -hex 24)" --from-literal={{ $auth.rootPasswordKey }}="$(openssl rand -hex 24)"
{{- end }}
{{- end }}
