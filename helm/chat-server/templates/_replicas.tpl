{{/*
How many servers, or nothing where the autoscaler says so. A release that names a number would bring it back when it is
rolled back to (Helm 3), or fail over it (Helm 4). But whoever alone has applied the field and leaves it out (Helm 4, the
first time that the autoscaler is on) goes down to one server: then, what there is.
*/}}
{{- define "chat-server.replicas" -}}
{{- if not .Values.autoscaling.enabled }}
{{- .Values.replicaCount }}
{{- else }}
{{- $live := lookup "apps/v1" "Deployment" (include "chat-server.namespace" .) (include "chat-server.fullname" .) }}
{{- $applied := false }}
{{- $scaled := false }}
{{- range dig "metadata" "managedFields" list $live }}
{{- if hasKey (dig "fieldsV1" "f:spec" dict .) "f:replicas" }}
{{- if eq .operation "Apply" }}{{ $applied = true }}{{ else }}{{ $scaled = true }}{{ end }}
{{- end }}
{{- end }}
{{- if and $applied (not $scaled) }}{{ $live.spec.replicas }}{{ end }}
{{- end }}
{{- end }}
