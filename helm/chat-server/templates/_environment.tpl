{{/*
The server's environment. It is gathered in one map, so that no name is there twice (server-side apply refuses that) and
extraEnv wins over the chart. A value is a text, or an object with valueFrom; what is empty is left to the server.
*/}}
{{- define "chat-server.environment" -}}
{{- $env := dict }}
{{- range list "server" "database" "shutdown" "telemetry" }}
{{- $env = merge $env (include (printf "chat-server.environment.%s" .) $ | fromYaml) }}
{{- end }}
{{- range $name, $value := .Values.extraEnv }}
{{- /* Not by merge, which takes 0, false and "" for nothing. */}}
{{- $_ := set $env $name $value }}
{{- end }}
{{- range $name, $value := $env }}
{{- if or (kindIs "invalid" $value) (eq (toString $value) "") }}{{ $_ := unset $env $name }}{{ end }}
{{- end }}
{{- include "chat-server.env" $env }}
{{- end }}

{{/* Numbers go through int64: Helm reads them as floats, which print as 1e+06. */}}
{{- define "chat-server.environment.server" -}}
LISTEN_ADDR: ":8081"
OPS_ADDR: ":{{ .Values.operations.port }}"
{{- with .Values.config }}
PUBLIC_URL: {{ .publicUrl | quote }}
RUST_LOG: {{ .log | quote }}
LOG_FORMAT: {{ .logFormat | quote }}
REQUEST_TIMEOUT: {{ .requestTimeout | quote }}
HEADER_TIMEOUT: {{ .headerTimeout | quote }}
IDLE_TIMEOUT: {{ .idleTimeout | quote }}
APDEX_T: {{ .apdexT | quote }}
{{- range $name, $value := dict "MAX_CONNECTIONS" .maxConnections "MAX_BODY_BYTES" .maxBodyBytes "WRITE_QUEUE" .writeQueue }}
{{- if not (kindIs "invalid" $value) }}
{{ $name }}: {{ $value | int64 | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Passwords are in files, never in the environment, where child processes and crash reports would see them. */}}
{{- define "chat-server.environment.database" -}}
DATABASE_MAX_CONNECTIONS: {{ .Values.database.maxConnections | int64 | quote }}
MIGRATE: {{ .Values.database.migrate | quote }}
{{- if eq .Values.database.type "sqlite" }}
DATABASE_URL: sqlite:///data/chat.db
{{- else if eq .Values.database.type "external" }}
DATABASE_URL_FILE: /etc/chat-server/database/url
{{- else }}
DATABASE_URL: mysql://{{ .Values.mysql.auth.username }}@{{ include "chat-server.fullname" . }}-mysql:3306/{{ .Values.mysql.auth.database }}
DATABASE_PASSWORD_FILE: /etc/chat-server/database/password
{{- end }}
{{- end }}

{{/* Without the sleep action the server itself has to bridge the time until no node sends anything new. */}}
{{- define "chat-server.environment.shutdown" -}}
{{- with .Values.gracefulShutdown }}
{{- $before := empty (include "chat-server.hasSleep" $) | ternary .preStopSeconds 0 }}
SHUTDOWN_DELAY: {{ add .delaySeconds $before }}s
SHUTDOWN_TIMEOUT: {{ add .timeoutSeconds $before }}s
{{- end }}
{{- end }}

{{- define "chat-server.environment.telemetry" -}}
{{- with .Values.telemetry }}
{{- if .endpoint }}
{{- range $name, $path := dict "POD_NAME" "metadata.name" "POD_UID" "metadata.uid" "NODE_NAME" "spec.nodeName" }}
K8S_{{ $name }}: {valueFrom: {fieldRef: {apiVersion: v1, fieldPath: {{ $path }}}}}
{{- end }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .endpoint | quote }}
OTEL_EXPORTER_OTLP_PROTOCOL: {{ .protocol | quote }}
{{- range $signal, $on := .signals }}
OTEL_{{ upper $signal }}_EXPORTER: {{ $on | ternary "otlp" "none" }}
{{- end }}
OTEL_TRACES_SAMPLER: {{ .sampler | quote }}
OTEL_TRACES_SAMPLER_ARG: {{ .samplerArg | quote }}
OTEL_RESOURCE_ATTRIBUTES: {{ include "chat-server.resourceAttributes" $ | quote }}
{{- with .headersSecret }}
OTEL_EXPORTER_OTLP_HEADERS: {valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.Values.telemetry.headersKey | quote }}}}}
{{- end }}
{{- if or .tls.caSecret .tls.caConfigMap }}
OTEL_EXPORTER_OTLP_CERTIFICATE: /etc/chat-server/telemetry-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Kubernetes fills in $(NAME) from the variables before; names are sorted, and K comes before O. */}}
{{- define "chat-server.resourceAttributes" -}}
{{- $attributes := dict
  "k8s.namespace.name" (include "chat-server.namespace" .)
  "k8s.deployment.name" (include "chat-server.fullname" .)
  "k8s.container.name" "chat-server"
  "k8s.pod.name" "$(K8S_POD_NAME)"
  "k8s.pod.uid" "$(K8S_POD_UID)"
  "k8s.node.name" "$(K8S_NODE_NAME)" }}
{{- $pairs := list }}
{{- range $name, $value := merge (dict) (.Values.telemetry.resourceAttributes | default dict) $attributes }}
{{- $pairs = append $pairs (printf "%s=%v" $name $value) }}
{{- end }}
{{- join "," $pairs }}
{{- end }}
