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
