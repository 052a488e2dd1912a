{{/*
Checks that the schema cannot express: values that contradict each other. Each message names the value, the reason and the
fix; all are shown at once. The deployment calls this, because it is always rendered.
*/}}
{{- define "chat-server.validate" -}}
{{- $mistakes := list }}
{{- range list "database" "scale" "shutdown" "publish" "others" }}
{{- $mistakes = concat $mistakes (include (printf "chat-server.validate.%s" .) $ | trim | splitList "\n") }}
{{- end }}
{{- with without $mistakes "" }}
{{- fail (printf "\n\nThese values contradict each other:\n- %s\n" (join "\n- " .)) }}
{{- end }}
{{- end }}

{{- define "chat-server.validate.database" -}}
{{- $type := .Values.database.type }}
{{- if and (eq $type "sqlite") (gt (int .Values.replicaCount) 1) }}
replicaCount is {{ .Values.replicaCount }}, but only one server can use an SQLite file: set replicaCount to 1, or database.type to mysql
{{- end }}
{{- if and (eq $type "sqlite") .Values.autoscaling.enabled }}
autoscaling.enabled is true, but only one server can use an SQLite file: turn it off, or set database.type to mysql
{{- end }}
{{- if and (eq $type "external") (not .Values.externalDatabase.existingSecret) }}
externalDatabase.existingSecret is empty, but database.type is external: name the Secret with the database's URL
{{- end }}
{{- if and .Values.externalDatabase.tls.caSecret .Values.externalDatabase.tls.caConfigMap }}
externalDatabase.tls.caSecret and caConfigMap are both set, but only one can be used: clear one of them
{{- end }}
{{- $settings := printf "%s\n%s" (join "\n" .Values.mysql.extraArgs) .Values.mysql.config }}
{{- $limit := regexFind "[0-9]+" (regexFind "max[-_]connections *= *[0-9]+" $settings) | default "151" | int }}
{{- $servers := add 1 (.Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicaCount) }}
{{- $needed := mul $servers .Values.database.maxConnections }}
{{- if and (eq $type "mysql") (gt (int $needed) $limit) }}
database.maxConnections is {{ .Values.database.maxConnections }}, but {{ $servers }} servers (one more during a rollout) would open {{ $needed }} connections, and MySQL allows {{ $limit }}: lower it, or raise max_connections in mysql.config
{{- end }}
{{- end }}

{{- define "chat-server.validate.scale" -}}
{{- $replicas := int .Values.replicaCount }}
{{- with .Values.autoscaling }}
{{- if .enabled }}
{{- $replicas = int .minReplicas }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
autoscaling.minReplicas is {{ .minReplicas }}, but maxReplicas is {{ .maxReplicas }}: raise maxReplicas, or lower minReplicas
{{- end }}
{{- if not (or .targetCPUUtilizationPercentage .targetMemoryUtilizationPercentage .metrics) }}
autoscaling.enabled is true, but there is nothing to scale by: set targetCPUUtilizationPercentage, targetMemoryUtilizationPercentage or metrics
{{- end }}
{{- $requests := ($.Values.resources).requests | default dict }}
{{- if and .targetCPUUtilizationPercentage (not $requests.cpu) }}
autoscaling.targetCPUUtilizationPercentage is a share of resources.requests.cpu, which is not set: set it, or set the target to null
{{- end }}
{{- if and .targetMemoryUtilizationPercentage (not $requests.memory) }}
autoscaling.targetMemoryUtilizationPercentage is a share of resources.requests.memory, which is not set: set it, or set the target to null
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- $min := not (kindIs "invalid" .minAvailable) }}
{{- $max := not (kindIs "invalid" .maxUnavailable) }}
{{- if and .enabled $min $max }}
podDisruptionBudget.minAvailable and maxUnavailable are both set, but Kubernetes accepts only one: set the other to null
{{- end }}
{{- if not (or (not .enabled) $min $max) }}
podDisruptionBudget has neither minAvailable nor maxUnavailable, but is enabled: set one, or turn it off
{{- end }}
{{- $keep := toString .minAvailable | trimSuffix "%" | int }}
{{- /* Kubernetes rounds up. */}}
{{- if kindIs "string" .minAvailable }}{{ $keep = div (add (mul $keep $replicas) 99) 100 | int }}{{ end }}
{{- if and .enabled $min (gt $replicas 0) (ge $keep $replicas) }}
podDisruptionBudget.minAvailable is {{ .minAvailable }}, but there may be only {{ $replicas }} servers, so no node could be drained: lower it, or use maxUnavailable
{{- end }}
{{- end }}
{{- end }}

{{- define "chat-server.validate.shutdown" -}}
{{- with .Values.gracefulShutdown }}
{{- if ge (int .delaySeconds) (int .timeoutSeconds) }}
gracefulShutdown.delaySeconds is {{ .delaySeconds }}, but timeoutSeconds, which includes it, is {{ .timeoutSeconds }}: requests in progress would be aborted; raise timeoutSeconds, or lower delaySeconds
{{- end }}
{{- end }}
{{- $needed := include "chat-server.shutdownSeconds" . | int }}
{{- if lt (include "chat-server.terminationGracePeriodSeconds" . | int) $needed }}
terminationGracePeriodSeconds is {{ .Values.terminationGracePeriodSeconds }}, but gracefulShutdown takes up to {{ $needed }} (preStopSeconds and timeoutSeconds), so Kubernetes would kill the server too early: raise it, or set it to null
{{- end }}
{{- end }}

{{- define "chat-server.validate.publish" -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
httpRoute.parentRefs is empty, but httpRoute.enabled is true: name the Gateway to publish at, such as [{name: public, namespace: gateways}]
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
ingress.hosts is empty, but ingress.enabled is true: name at least one host
{{- end }}
{{- with .Values.certificate }}
{{- if and .enabled (not .issuer.name) }}
certificate.issuer.name is empty, but certificate.enabled is true: name the issuer
{{- end }}
{{- if and .enabled (not (.dnsNames | default (include "chat-server.hosts" $ | fromYamlArray))) }}
certificate.dnsNames is empty, and neither ingress nor httpRoute has a host: list the certificate's host names
{{- end }}
{{- end }}
{{- with .Values.service }}
{{- if and (eq .type "ClusterIP") .nodePort }}
service.nodePort is {{ .nodePort }}, but service.type is ClusterIP: set the type to NodePort or LoadBalancer
{{- end }}
{{- if and (eq .type "ClusterIP") .externalTrafficPolicy }}
service.externalTrafficPolicy is {{ .externalTrafficPolicy }}, but service.type is ClusterIP: set the type to NodePort or LoadBalancer
{{- end }}
{{- if and (ne .type "LoadBalancer") (or .loadBalancerClass .loadBalancerSourceRanges) }}
service.loadBalancerClass and loadBalancerSourceRanges need service.type LoadBalancer, but it is {{ .type }}: clear them, or change the type
{{- end }}
{{- if and (ne .type "ClusterIP") (eq .clusterIP "None") }}
service.clusterIP is None, but service.type is {{ .type }}: only ClusterIP can be headless
{{- end }}
{{- end }}
{{- end }}

{{- define "chat-server.validate.others" -}}
{{- if and (eq (.Values.image.tag | default "") "latest") (not .Values.image.digest) }}
image.tag is latest, which changes over time, so a rollback cannot restore today's image: set a version, or image.digest
{{- end }}
{{- if not (regexMatch "^[a-z]" (include "chat-server.fullname" .)) }}
fullnameOverride is empty and the release is named {{ .Release.Name }}, but names of Services must begin with a letter: set fullnameOverride, or rename the release
{{- end }}
{{- if eq (int .Values.operations.port) 8081 }}
operations.port is 8081, but that is the API's port: choose another one
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
metrics.serviceMonitor.enabled and metrics.podMonitor.enabled are both true, which would count everything twice: turn one off
{{- end }}
{{- with .Values.telemetry }}
{{- if and .tls.caSecret .tls.caConfigMap }}
telemetry.tls.caSecret and caConfigMap are both set, but only one can be used: clear one of them
{{- end }}
{{- if and .samplerArg (not .sampler) }}
telemetry.samplerArg is {{ .samplerArg }}, but telemetry.sampler is empty: name the sampler, such as parentbased_traceidratio
{{- end }}
{{- end }}
{{- $set := dict
  "LISTEN_ADDR" "is fixed, because the Service and the NetworkPolicy use its port"
  "OPS_ADDR" "comes from operations.port"
  "DATABASE_URL" "comes from database.type"
  "DATABASE_URL_FILE" "comes from externalDatabase.existingSecret"
  "DATABASE_PASSWORD_FILE" "comes from mysql.auth"
  "SHUTDOWN_DELAY" "comes from gracefulShutdown.delaySeconds"
  "SHUTDOWN_TIMEOUT" "comes from gracefulShutdown.timeoutSeconds" }}
{{- range $name, $why := $set }}
{{- if hasKey ($.Values.extraEnv | default dict) $name }}
extraEnv.{{ $name }} {{ $why }}: remove it
{{- end }}
{{- end }}
{{- end }}
