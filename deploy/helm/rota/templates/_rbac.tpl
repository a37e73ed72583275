{{- define "rota.rules.apis" -}}
- apiGroups: [gateway.rota.dev]
  resources: [apis, rotagateways]
  verbs: [get, list, watch]
- apiGroups: [gateway.rota.dev]
  resources: [apis/status, rotagateways/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "rota.rules.namespaces" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end -}}

{{- define "rota.rules.lease" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "rota.controller" . }}]
  verbs: [get, update]
{{- end -}}

{{- define "rota.rules.secrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- end -}}

{{/* A list of names: the API server takes a watch with a field selector for a name as a request for that name. */}}
{{- define "rota.rules.named" -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get, list, watch]
{{- end -}}

{{- define "rota.rules.grants" -}}
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants]
  verbs: [list, watch]
{{- end -}}

{{/* The CA and the controllers' certificate, in the release's own namespace. */}}
{{- define "rota.rules.identity" -}}
{{- $prefix := include "rota.fullname" . -}}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ $prefix }}-ca, {{ $prefix }}-controller-tls]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ $prefix }}-ca-bundle]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [create]
{{- end -}}

{{- define "rota.rules.tokens" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end -}}

{{/*
(dict "part" PART "name" NAME-OF-THE-RULES "namespaces" LIST): roles and their bindings; an empty list is the cluster. With
"rules" TEXT these rules are granted under that name.
*/}}
{{- define "rota.grant" -}}
{{- $root := .part.root }}
{{- $rules := .rules | default (include (printf "rota.rules.%s" .name) $root) }}
{{- $role := printf "%s-%s" (include "rota.controller" $root) .name }}
{{- if .namespaces }}
{{- range .namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $role }}
  namespace: {{ . }}
  labels:
    {{- include "rota.labels" $.part | nindent 4 }}
rules:
  {{- $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $role }}
  namespace: {{ . }}
  labels:
    {{- include "rota.labels" $.part | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $role }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "rota.serviceAccount" $.part }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- else }}
{{- $role = printf "%s-%s" $root.Release.Namespace $role }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $role }}
  labels:
    {{- include "rota.labels" .part | nindent 4 }}
rules:
  {{- $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $role }}
  labels:
    {{- include "rota.labels" .part | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $role }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "rota.serviceAccount" .part }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- end -}}
