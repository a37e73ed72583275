{{/*
Names. Every helper takes the root; those that say PART take
(dict "root" $ "component" "controller"|"dataplane" "values" VALUES-OF-THE-COMPONENT).
*/}}
{{- define "rota.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = contains "rota" .Release.Name | ternary .Release.Name (printf "%s-rota" .Release.Name) -}}
{{- end -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "rota.controller" -}}{{ include "rota.fullname" . }}-controller{{- end -}}
{{- define "rota.peers" -}}{{ include "rota.controller" . }}-peers{{- end -}}
{{- define "rota.dataplane" -}}{{ include "rota.fullname" . }}-dataplane{{- end -}}

{{/* Name in the cluster of a Service of this release: (list $ NAME). */}}
{{- define "rota.host" -}}{{ index . 1 }}.{{ (index . 0).Release.Namespace }}.svc{{- end -}}

{{/* HOST:PORT,... that data planes connect to. */}}
{{- define "rota.controllers" -}}
{{- if .Values.controller.enabled -}}
{{ include "rota.host" (list . (include "rota.controller" .)) }}:{{ .Values.controller.service.port }}
{{- else -}}
{{ join "," .Values.dataplane.controllers }}
{{- end -}}
{{- end -}}

{{/* PART */}}
{{- define "rota.partName" -}}{{ include (printf "rota.%s" .component) .root }}{{- end -}}

{{/* PART */}}
{{- define "rota.serviceAccount" -}}
{{- if .values.serviceAccount.create -}}
{{- .values.serviceAccount.name | default (include "rota.partName" .) -}}
{{- else -}}
{{- .values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "rota.gateway" -}}
{{ .Values.gateway.namespace | default .Release.Namespace }}/{{ .Values.gateway.name }}
{{- end -}}

{{- define "rota.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* PART. What selects pods: never changes over a release's life. */}}
{{- define "rota.selectorLabels" -}}
app.kubernetes.io/name: rota
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* PART */}}
{{- define "rota.labels" -}}
{{ include "rota.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: rota
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (list PART NAME): the metadata of a namespaced object. */}}
{{- define "rota.metadata" -}}
{{- $part := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $part.root.Release.Namespace }}
labels:
  {{- include "rota.labels" $part | nindent 2 }}
{{- end -}}
