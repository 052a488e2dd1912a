{{/* The pods of the backup and the restore. */}}

{{- define "chat-server.backup.name" -}}
{{ include "chat-server.fullname" . }}-backup
{{- end }}

{{- define "chat-server.backup.enabled" -}}
{{- if and .Values.backup.enabled (eq .Values.database.type "mysql") }}true{{ end }}
{{- end }}

{{- define "chat-server.backup.mounts" -}}
- {name: dumps, mountPath: /backup}
- {name: tmp, mountPath: /tmp}
{{- with .Values.backup.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Runs one of the scripts in files/backup. Takes dict "root" $ "name" "backup" "args" (list) "env" (map). */}}
{{- define "chat-server.backup.container" -}}
{{- $auth := .root.Values.mysql.auth -}}
{{- with .root.Values.backup -}}
name: {{ $.name }}
image: {{ include "chat-server.image" (dict "root" $.root "image" $.root.Values.mysql.image) }}
imagePullPolicy: {{ $.root.Values.mysql.image.pullPolicy }}
command: [bash, /scripts/{{ $.name }}.sh]
{{- with $.args }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  - {name: DB_HOST, value: {{ include "chat-server.fullname" $.root }}-mysql}
  - {name: DB_NAME, value: {{ $auth.database | quote }}}
  - {name: DB_USER, value: {{ $auth.username | quote }}}
  - {name: DB_PASSWORD_FILE, value: /etc/mysql-passwords/password}
  - {name: BACKUP_DIR, value: /backup}
  {{- with include "chat-server.env" $.env | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "chat-server.env" .extraEnv | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: scripts, mountPath: /scripts, readOnly: true}
  - {name: passwords, mountPath: /etc/mysql-passwords, readOnly: true}
  {{- include "chat-server.backup.mounts" $.root | nindent 2 }}
{{- end }}
{{- end }}

{{/* Template of a pod. Takes dict "root" $ "container" and optionally "initContainer" (each as text). */}}
{{- define "chat-server.backup.pod" -}}
{{- $component := dict "root" .root "component" "backup" -}}
{{- with .root.Values.backup -}}
metadata:
  labels:
    {{- include "chat-server.podLabels" (merge (dict "labels" .podLabels) $component) | nindent 4 }}
  {{- with merge (dict) .podAnnotations ($.root.Values.commonAnnotations | default dict) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .serviceAccount.name | default (include "chat-server.backup.name" $.root) | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  restartPolicy: Never
  # Scripts have nothing to finish when they are stopped.
  terminationGracePeriodSeconds: 5
  {{- with include "chat-server.imagePullSecrets" $.root }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "chat-server.mysql.scheduling" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $.initContainer }}
  initContainers:
    - {{ . | nindent 6 | trim }}
  {{- end }}
  containers:
    - {{ $.container | nindent 6 | trim }}
  volumes:
    - name: dumps
      persistentVolumeClaim:
        claimName: {{ .persistence.existingClaim | default (include "chat-server.backup.name" $.root) | quote }}
    - name: tmp
      emptyDir: {}
    - name: scripts
      configMap:
        name: {{ include "chat-server.backup.name" $.root }}
    - {{ include "chat-server.mysql.passwords" (dict "root" $.root) | nindent 6 | trim }}
    {{- with .extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}
