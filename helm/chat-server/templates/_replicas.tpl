{{/*
The number of servers, or nothing if the autoscaler chooses it. A release with a number would restore it on rollback
(Helm 3), or fail with a conflict (Helm 4). But if the field's only owner omits it (Helm 4, when the autoscaler is first
turned on), Kubernetes scales to one server: in that case, the current number.
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
