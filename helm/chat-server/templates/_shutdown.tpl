{{/* "yes" where Kubernetes has the preStop sleep action switched on: from 1.30. Else nothing. */}}
{{- define "chat-server.hasSleep" -}}
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version }}yes{{ end }}
{{- end }}

{{/* What stopping takes at most, in seconds: until SIGTERM and after it. */}}
{{- define "chat-server.shutdownSeconds" -}}
{{- add .Values.gracefulShutdown.preStopSeconds .Values.gracefulShutdown.timeoutSeconds }}
{{- end }}

{{/* The margin is for the kubelet, which counts from when it begins to stop the pod. */}}
{{- define "chat-server.terminationGracePeriodSeconds" -}}
{{- .Values.terminationGracePeriodSeconds | default (include "chat-server.shutdownSeconds" . | int | add 5) | int64 }}
{{- end }}

{{- define "chat-server.lifecycle" -}}
{{- if .Values.lifecycle }}
{{- toYaml .Values.lifecycle }}
{{- else if and .Values.gracefulShutdown.preStopSeconds (include "chat-server.hasSleep" .) -}}
preStop:
  sleep:
    seconds: {{ .Values.gracefulShutdown.preStopSeconds }}
{{- end }}
{{- end }}
