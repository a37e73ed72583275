{{/*
Who is who between data planes and controllers: tls.mode. auto: tokens of audience rota-sync in /var/run/rota, the trusted CA in
/etc/rota/sync. files: certificate, key and CA in /etc/rota/sync.
*/}}
{{- define "rota.controllerIdentity" -}}
{{- if eq .Values.tls.mode "auto" -}}
- --tls-mode=auto
- --tls-objects={{ include "rota.fullname" . }}
- --tls-dns-names={{ include "rota.host" (list . (include "rota.controller" .)) }},{{ include "rota.host" (list . (include "rota.peers" .)) }}
- --token-file=/var/run/rota/token
{{- if .Values.dataplane.enabled }}
- --allow-service-account={{ include "rota.gateway" . }}={{ .Release.Namespace }}/{{ include "rota.serviceAccount" (dict "root" . "component" "dataplane" "values" .Values.dataplane) }}
{{- end }}
{{- range .Values.tls.auto.allowServiceAccounts }}
- --allow-service-account={{ . }}
{{- end }}
{{- else if eq .Values.tls.mode "files" -}}
- --tls-cert=/etc/rota/sync/tls.crt
- --tls-key=/etc/rota/sync/tls.key
- --tls-client-ca=/etc/rota/sync/ca.crt
{{- else -}}
- --insecure
{{- end -}}
{{- end -}}

{{- define "rota.dataplaneIdentity" -}}
{{- if eq .Values.tls.mode "auto" -}}
- --sync-tls-ca=/etc/rota/sync/ca.crt
- --token-file=/var/run/rota/token
{{- else if eq .Values.tls.mode "files" -}}
- --sync-tls-cert=/etc/rota/sync/tls.crt
- --sync-tls-key=/etc/rota/sync/tls.key
- --sync-tls-ca=/etc/rota/sync/ca.crt
{{- else -}}
- --insecure
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "bundle" BOOL) */}}
{{- define "rota.identityMounts" -}}
{{- $mode := .root.Values.tls.mode }}
{{- if eq $mode "auto" }}
- {name: token, mountPath: /var/run/rota, readOnly: true}
{{- end }}
{{- if or (eq $mode "files") (and .bundle (eq $mode "auto")) }}
- {name: sync, mountPath: /etc/rota/sync, readOnly: true}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "secret" NAME "bundle" BOOL): with the CA bundle, in auto mode, or without. */}}
{{- define "rota.identityVolumes" -}}
{{- $tls := .root.Values.tls }}
{{- if eq $tls.mode "auto" }}
- name: token
  projected:
    sources:
      - serviceAccountToken: {audience: rota-sync, expirationSeconds: 3600, path: token}
{{- if .bundle }}
- name: sync
  configMap: {name: {{ $tls.auto.caConfigMap | default (printf "%s-ca-bundle" (include "rota.fullname" .root)) }}}
{{- end }}
{{- else if eq $tls.mode "files" }}
- name: sync
  secret: {secretName: {{ .secret }}, defaultMode: 0440}
{{- end }}
{{- end -}}
