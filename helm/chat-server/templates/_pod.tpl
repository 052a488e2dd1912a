{{/* What the server's pod has beside its containers and volumes. */}}
{{- define "chat-server.podOptions" -}}
serviceAccountName: {{ include "chat-server.serviceAccountName" . | quote }}
automountServiceAccountToken: false
# Kubernetes would add several variables for each Service of the namespace, some of them with this server's names.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "chat-server.terminationGracePeriodSeconds" . }}
{{- with include "chat-server.imagePullSecrets" . }}
{{ . }}
{{- end }}
{{- range $field := list "priorityClassName" "runtimeClassName" "schedulerName" "dnsPolicy" }}
{{- with get $.Values $field }}
{{ $field }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- range $field := list "podSecurityContext" "nodeSelector" "tolerations" "hostAliases" "dnsConfig" "initContainers" }}
{{- with get $.Values $field }}
{{ $field | replace "podSecurity" "security" }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with include "chat-server.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "chat-server.topologySpreadConstraints" . | trim }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}
