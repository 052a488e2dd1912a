{{/*
The specification of a pod that runs a script with k6. Takes dict "root" $ "script" "valid.js" and optionally
"environment", a map for the script. Its names do not begin with K6_: k6 takes some of those as options, and drops the
script's own scenarios.
*/}}
{{- define "chat-server.k6.spec" -}}
{{- $k6 := .root.Values.k6 }}
{{- $full := include "chat-server.fullname" .root -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
{{- with include "chat-server.imagePullSecrets" .root }}
{{ . }}
{{- end }}
{{- range $field := list "podSecurityContext" "nodeSelector" "tolerations" }}
{{- with get $k6 $field }}
{{ $field | replace "podSecurity" "security" }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
containers:
  - name: k6
    image: {{ include "chat-server.image" (dict "root" .root "image" $k6.image) | quote }}
    imagePullPolicy: {{ $k6.image.pullPolicy }}
    args: [run, --quiet, --no-usage-report, --no-color, /scripts/{{ .script }}]
    env:
      - {name: BASE_URL, value: "http://{{ $full }}:{{ .root.Values.service.port }}"}
      - {name: OPERATIONS_URL, value: "http://{{ $full }}-operations:{{ .root.Values.operations.port }}"}
      {{- range $name, $value := .environment }}
      - {name: {{ $name }}, value: {{ $value | toString | quote }}}
      {{- end }}
      # It would otherwise look on the internet for what a script imports.
      - {name: K6_AUTO_EXTENSION_RESOLUTION, value: "false"}
    resources:
      {{- toYaml $k6.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: scripts, mountPath: /scripts, readOnly: true}
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: scripts
    configMap:
      name: {{ $full }}-k6
      items:
        {{- range $path, $_ := .root.Files.Glob "files/k6/**" }}
        - {key: {{ include "chat-server.k6.key" $path }}, path: {{ trimPrefix "files/k6/" $path }}}
        {{- end }}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{/* The key of a file in the ConfigMap: there it cannot have slashes. */}}
{{- define "chat-server.k6.key" -}}
{{- . | trimPrefix "files/k6/" | replace "/" "." }}
{{- end }}

{{/* The pod of a test. A failed one stays, for its log. Takes dict "root" $ "test" "valid". */}}
{{- define "chat-server.test" -}}
{{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
{{- $annotations := merge $hook .root.Values.k6.podAnnotations (include "chat-server.scored" (dict "component" "k6") | fromYaml) -}}
apiVersion: v1
kind: Pod
metadata:
  {{- include "chat-server.metadata" (dict "root" .root "component" "k6" "suffix" (printf "test-%s" .test)
    "labels" .root.Values.k6.podLabels "annotations" $annotations) | nindent 2 }}
spec:
  {{- include "chat-server.k6.spec" (dict "root" .root "script" (printf "%s.js" .test)) | nindent 2 }}
{{- end }}
