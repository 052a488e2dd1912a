{{/* The affinity from the values, or the one that podAntiAffinity names, or nothing. */}}
{{- define "chat-server.affinity" -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "chat-server.selectorLabels" (dict "root" . "component" "server") | fromYaml)) }}
{{- /* Or `hard` would keep a rollout's new pod off every node that has an old one. Known from Kubernetes 1.31. */}}
{{- if semverCompare ">=1.31-0" .Capabilities.KubeVersion.Version }}
{{- $_ := set $term "matchLabelKeys" (list "pod-template-hash") }}
{{- end }}
{{- if .Values.affinity }}
{{- toYaml .Values.affinity }}
{{- else if eq .Values.podAntiAffinity "hard" -}}
podAntiAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - {{- toYaml $term | nindent 6 }}
{{- else if eq .Values.podAntiAffinity "soft" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        {{- toYaml $term | nindent 8 }}
{{- end }}
{{- end }}

{{/* Without the label of the version, a rollout would count the old pods and leave the new ones unevenly spread. */}}
{{- define "chat-server.topologySpreadConstraints" -}}
{{- $selector := dict "matchLabels" (include "chat-server.selectorLabels" (dict "root" . "component" "server") | fromYaml) }}
{{- range .Values.topologySpreadConstraints }}
- {{ hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" $selector "matchLabelKeys" (list "pod-template-hash")) .) | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}
