{{/* What the data plane's container is started with and what is mounted for it. */}}
{{- define "rota.dataplaneArgs" -}}
{{- $values := .Values.dataplane -}}
- --controller={{ include "rota.controllers" . }}
- --gateway={{ include "rota.gateway" . }}
{{ include "rota.dataplaneIdentity" . }}
{{- if $values.http.enabled }}
- --http=:{{ $values.http.port }}
{{- end }}
{{- if $values.https.enabled }}
- --https=:{{ $values.https.port }}
{{- if $values.https.secretName }}
- --tls-cert=/etc/rota/tls/tls.crt
- --tls-key=/etc/rota/tls/tls.key
{{- end }}
{{- end }}
- --metrics=:{{ $values.metricsPort }}
{{- if $values.state.enabled }}
- --state-dir=/var/lib/rota
{{- if $values.state.keySecret }}
- --state-key-file=/etc/rota/state/key
{{- end }}
{{- end }}
{{- if $values.allowUnauthenticated }}
- --allow-unauthenticated
{{- end }}
- --threads={{ $values.threads }}
- --max-held-bytes={{ int64 $values.maxHeldBytes }}
- --drain-timeout={{ $values.drain.timeoutSeconds }}s
{{- range $values.resolve }}
- {{ printf "--resolve=%s" . | quote }}
{{- end }}
{{- if $values.upstreamCA.configMap }}
- --upstream-ca=/etc/rota/upstream/{{ $values.upstreamCA.key }}
{{- end }}
- --access-log={{ $values.accessLog }}
- --access-log-sample={{ $values.accessLogSample }}
- --log-level={{ $values.logLevel }}
{{- range $values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "rota.dataplaneMounts" -}}
{{- $values := .Values.dataplane -}}
{{- include "rota.identityMounts" (dict "root" . "bundle" true) }}
{{- if and $values.https.enabled $values.https.secretName }}
- {name: tls, mountPath: /etc/rota/tls, readOnly: true}
{{- end }}
{{- if $values.upstreamCA.configMap }}
- {name: upstream-ca, mountPath: /etc/rota/upstream, readOnly: true}
{{- end }}
{{- if $values.state.enabled }}
- {name: state, mountPath: /var/lib/rota}
{{- if $values.state.keySecret }}
- {name: state-key, mountPath: /etc/rota/state, readOnly: true}
{{- end }}
{{- end }}
{{- with $values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "rota.dataplaneVolumes" -}}
{{- $values := .Values.dataplane -}}
{{- include "rota.identityVolumes" (dict "root" . "secret" .Values.tls.files.dataplaneSecret "bundle" true) }}
{{- if and $values.https.enabled $values.https.secretName }}
- name: tls
  secret: {secretName: {{ $values.https.secretName }}, defaultMode: 0440}
{{- end }}
{{- if $values.upstreamCA.configMap }}
- name: upstream-ca
  configMap: {name: {{ $values.upstreamCA.configMap }}}
{{- end }}
{{- if $values.state.enabled }}
- name: state
  emptyDir: {sizeLimit: {{ $values.state.sizeLimit }}}
{{- if $values.state.keySecret }}
- name: state-key
  secret: {secretName: {{ $values.state.keySecret }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
