{{/* Names and labels, pull secrets and images: what all objects share. */}}

{{/*
At most 40 characters of a name, so that the longest suffix and what controllers append still fit into 63. A longer one
ends in a hash of the whole, because two that begin alike must not become the same.
*/}}
{{- define "chat-server.fitting" -}}
{{- if le (len .) 40 }}{{ . }}{{ else }}{{ . | trunc 31 | trimSuffix "-" }}-{{ sha256sum . | trunc 8 }}{{ end }}
{{- end }}

{{- define "chat-server.name" -}}
{{- include "chat-server.fitting" (.Values.nameOverride | default .Chart.Name) }}
{{- end }}

{{- define "chat-server.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- $full := printf "%s-%s" .Release.Name $name }}
{{- if contains $name .Release.Name }}{{ $full = .Release.Name }}{{ end }}
{{- include "chat-server.fitting" (.Values.fullnameOverride | default $full) }}
{{- end }}

{{- define "chat-server.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{/* Takes dict "root" $ "component" "server". Quoted, because a release may be named 1 or true. */}}
{{- define "chat-server.selectorLabels" -}}
app.kubernetes.io/name: {{ include "chat-server.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* For the metadata of objects, takes the same. */}}
{{- define "chat-server.labels" -}}
{{- $labels := include "chat-server.selectorLabels" . | fromYaml }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "chat-server" }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- toYaml (merge $labels (.root.Values.commonLabels | default dict)) }}
{{- end }}

{{/*
For the templates of pods: takes the same and optionally "labels", the map from the values. Without the chart's
version, or each new chart would restart pods that it does not change, the database's among them.
*/}}
{{- define "chat-server.podLabels" -}}
{{- $labels := include "chat-server.selectorLabels" . | fromYaml }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "chat-server" }}
{{- toYaml (merge $labels (.labels | default dict) (.root.Values.commonLabels | default dict)) }}
{{- end }}

{{/* The common annotations, or nothing. Takes the root. */}}
{{- define "chat-server.annotations" -}}
{{- with .Values.commonAnnotations }}{{ toYaml . }}{{ end }}
{{- end }}

{{/*
The whole metadata of an object. Takes dict "root" $ "component" "server" and optionally "suffix" to the full name,
"name" instead of it, "labels" and "annotations" (maps from the values, which win over the common ones).
The namespace is written out, so that `helm template | kubectl apply` puts everything where it belongs.
*/}}
{{- define "chat-server.metadata" -}}
{{- $full := include "chat-server.fullname" .root -}}
name: {{ .name | default (empty .suffix | ternary $full (printf "%s-%s" $full .suffix)) | quote }}
namespace: {{ include "chat-server.namespace" .root | quote }}
labels:
  {{- toYaml (merge (include "chat-server.labels" . | fromYaml) (.labels | default dict)) | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Takes dict "root" $ "image" .Values.image "defaultTag" "1.2.3"; the digest wins over the tag. */}}
{{- define "chat-server.image" -}}
{{- $registry := (.root.Values.global).imageRegistry | default .image.registry }}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .defaultTag }}{{ end }}
{{- end }}

{{/* The `imagePullSecrets:` block of a pod, or nothing. Names as strings or as {name: …}. */}}
{{- define "chat-server.imagePullSecrets" -}}
{{- $names := list }}
{{- range concat ((.Values.global).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) }}
{{- $names = append $names (kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") .) }}
{{- end }}
{{- with $names | uniq -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "chat-server.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "chat-server.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/*
kube-score's objections to the pods of this chart, answered. Takes dict "component" "server" and optionally "single" true.
- Pull policy: tags are exact, so pulling always would only make a registry's outage ours.
- Resources: a CPU limit would throttle bursts while the node idles. CPU is requested, and memory is limited.
- User: 999 is built into MySQL's image, which the backup uses too.
- Probes: MySQL's ask the same, but readiness gives up after seconds, liveness after minutes.
- Deadline: the CronJob of the restore never runs by itself.
- Strategy, replicas: with SQLite there is one server, since two cannot share the file.
*/}}
{{- define "chat-server.scored" -}}
{{- $answered := list "container-image-pull-policy" "container-resources" }}
{{- if has .component (list "mysql" "backup") }}{{ $answered = append $answered "container-security-context-user-group-id" }}{{ end }}
{{- if eq .component "mysql" }}{{ $answered = append $answered "pod-probes-identical" }}{{ end }}
{{- if eq .component "backup" }}{{ $answered = append $answered "cronjob-has-deadline" }}{{ end }}
{{- if .single }}{{ $answered = concat $answered (list "deployment-strategy" "deployment-replicas") }}{{ end -}}
kube-score/ignore: {{ join "," $answered }}
{{- end }}

{{/* A storage class from the values: nothing for the cluster's default, "" for none. */}}
{{- define "chat-server.storageClass" -}}
{{- if . }}storageClassName: {{ . | eq "-" | ternary "" . | quote }}{{ end }}
{{- end }}

{{/* Environment variables from a map: a text or number, or an object with valueFrom. toJson writes 1000000, not 1e+06. */}}
{{- define "chat-server.env" -}}
{{- range $name, $value := . }}
- name: {{ $name | quote }}
  {{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
  {{- end }}
{{- end }}
{{- end }}
