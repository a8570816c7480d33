{{/* Labels of an object: (list $ "webhook"). What changes with the release stands on metadata only, never in a selector
     nor on a pod, so that an upgrade restarts no pod for it. */}}
{{- define "otelgate.labels" -}}
{{- $root := first . -}}
{{ include "otelgate.selector" (last .) }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* Labels by which a component's pods are found. */}}
{{- define "otelgate.selector" -}}
app.kubernetes.io/name: otelgate
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Kubernetes' own, whose pods nobody asks about. */}}
{{- define "otelgate.systemNamespaces" -}}
kube-system, kube-public, kube-node-lease
{{- end }}

{{- define "otelgate.image" -}}
{{- $image := .Values.image -}}
{{- $name := list $image.registry $image.repository | compact | join "/" -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Where a port is listened on: (list $ 8443). */}}
{{- define "otelgate.listen" -}}
{{- if eq (first .).Values.ipFamily "IPv6" -}}[::]{{- else -}}0.0.0.0{{- end -}}:{{ last . | int }}
{{- end }}

{{/* Namespace of the Collector, as the configuration has it. */}}
{{- define "otelgate.collectorNamespace" -}}
{{- dig "collector" "namespace" "datadog" .Values.injection -}}
{{- end }}

{{/* Whether Collector or Agent sends with the API key; empty if neither. */}}
{{- define "otelgate.needsKey" -}}
{{- $collector := and (eq .Values.collector.mode "managed") (ne .Values.collector.exporter "agent") -}}
{{- if or $collector (not (has .Values.agent.mode (list "adopt" "disabled"))) -}}true{{- end -}}
{{- end }}

{{/* The port that leads to Datadog: the proxy's, if there is one. */}}
{{- define "otelgate.egressPort" -}}
{{- $proxy := .Values.egress.proxy -}}
{{- if $proxy -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" (trimSuffix "/" $proxy)) | default (ternary "443" "80" (hasPrefix "https:" $proxy)) -}}
{{- else -}}443{{- end -}}
{{- end }}

{{/* What every pod of otelgate's is allowed, which is as little as pod security's "restricted" asks for. */}}
{{- define "otelgate.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "otelgate.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where pods go: (list $values "webhook"). */}}
{{- define "otelgate.placement" -}}
{{- $values := first . -}}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := $values.affinity }}
{{- if not (or $values.topologySpreadConstraints $affinity.podAntiAffinity) }}
{{- $affinity = merge (include "otelgate.zones" (last .) | fromYaml) $affinity }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
# By the hash of the template, old and new pods are spread apart from each other.
topologySpreadConstraints:
{{- with $values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "otelgate.selector" (last $) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* Apart from each other by zones. No constraint like that for nodes: the scheduler spreads no pod over nodes that lack
     any constraint's label, and in many clusters none has a zone. */}}
{{- define "otelgate.zones" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: topology.kubernetes.io/zone
        labelSelector:
          matchLabels:
            {{- include "otelgate.selector" . | nindent 12 }}
{{- end }}

{{/* Egress to the API server, whose address no chart can know. */}}
{{- define "otelgate.egressToApiServer" -}}
- ports:
    {{- range .ports }}
    - port: {{ . | int }}
      protocol: TCP
    {{- end }}
  {{- with .cidrs }}
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  {{- end }}
{{- end }}

{{/* Whether the Collectors are the controller's own: empty if not. */}}
{{- define "otelgate.managesCollector" -}}
{{- if and .Values.controller.enabled (eq .Values.collector.mode "managed") -}}true{{- end -}}
{{- end }}

{{/* What to do about an alert: (list $ "OtelgateWebhookAbsent"). */}}
{{- define "otelgate.runbook" -}}
{{- (first .).Chart.Home -}}/blob/main/docs/monitoring.md#{{- last . | lower -}}
{{- end }}

{{/* A quantity as a number: 500m is 0.5, 1Gi is 1073741824. */}}
{{- define "otelgate.quantity" -}}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $product := mulf (float64 $number) (float64 (dig $unit 1 $units)) -}}
{{- if eq $product (floor $product) -}}{{- int64 $product -}}{{- else -}}{{- $product -}}{{- end -}}
{{- end }}

{{/* How many seconds before its end the webhook's certificate should have been renewed long ago: a day, or half of the
     third of its life that is left when the next is made. */}}
{{- define "otelgate.certificateLate" -}}
{{- $seconds := 86400 -}}
{{- if ne .provider "provided" -}}
{{- $seconds = div (include "otelgate.seconds" .leafLifetime) 6 | min $seconds -}}
{{- end -}}
{{- $seconds -}}
{{- end }}

{{/* A duration in seconds: 1h30m is 5400. */}}
{{- define "otelgate.seconds" -}}
{{- $text := . -}}
{{- $seconds := 0 -}}
{{- range $unit, $each := dict "h" 3600 "m" 60 "s" 1 -}}
{{- with regexFind (printf "[0-9]+%s" $unit) $text -}}
{{- $seconds = add $seconds (mul (trimSuffix $unit . | atoi) $each) -}}
{{- end -}}
{{- end -}}
{{- $seconds -}}
{{- end }}

{{/* Annotations by which the Collector of a pod's node reads its metrics, and those that were asked for:
     (list $ $annotations $port). */}}
{{- define "otelgate.scrapeAnnotations" -}}
{{- $annotations := index . 1 | default dict -}}
{{- if (first .).Values.monitoring.datadog.metrics -}}
{{- $own := dict "prometheus.io/scrape" "true" "prometheus.io/port" (last . | toString) "prometheus.io/path" "/metrics" -}}
{{- $annotations = merge (dict) $annotations $own -}}
{{- end -}}
{{- with $annotations -}}{{- toYaml . -}}{{- end -}}
{{- end }}

{{/* Who reads metrics to send them to Datadog, in a network policy. */}}
{{- define "otelgate.fromCollector" -}}
{{- if .Values.monitoring.datadog.metrics -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ include "otelgate.collectorNamespace" . }}
  podSelector:
    matchLabels:
      app: otel-collector
{{- end -}}
{{- end }}
