{{/* What a schema cannot say about values that depend on each other. */}}
{{- define "rota.check" -}}
{{- $controller := .Values.controller.enabled -}}
{{- $dataplane := .Values.dataplane -}}
{{- if not (or $controller $dataplane.enabled) -}}
{{- fail "controller.enabled and dataplane.enabled are both false: nothing would be installed. Enable one of them." -}}
{{- end -}}
{{- if and .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled -}}
{{- fail "monitoring.podMonitor and monitoring.serviceMonitor find the same pods, and every sample would count twice. Enable one of them." -}}
{{- end -}}
{{- $secrets := .Values.secrets -}}
{{- if and (eq $secrets.access "named") (not $secrets.names) -}}
{{- fail "secrets.access: named needs the names: secrets.names: {NAMESPACE: [SECRET, ...]}." -}}
{{- end -}}
{{- if and (eq $secrets.access "namespace") $secrets.names -}}
{{- fail "secrets.names is for secrets.access: named; with access: namespace list namespaces (secrets.namespaces)." -}}
{{- end -}}
{{- if and (eq $secrets.access "named") $secrets.namespaces -}}
{{- fail "secrets.namespaces is for secrets.access: namespace; with access: named the namespaces are the keys of secrets.names." -}}
{{- end -}}
{{- if $dataplane.enabled -}}
{{- if and (not $controller) (not $dataplane.controllers) -}}
{{- fail "controller.enabled is false: say where the controllers are (dataplane.controllers: [HOST:PORT])." -}}
{{- end -}}
{{- if and $controller $dataplane.controllers -}}
{{- fail "dataplane.controllers is for releases with controller.enabled: false; this one's data planes use its own controllers. Remove one of the two." -}}
{{- end -}}
{{- if not (or $dataplane.http.enabled $dataplane.https.enabled) -}}
{{- fail "the data planes would listen nowhere: enable dataplane.http or dataplane.https." -}}
{{- end -}}
{{- if gt (int $dataplane.autoscaling.minReplicas) (int $dataplane.autoscaling.maxReplicas) -}}
{{- fail (printf "dataplane.autoscaling.minReplicas (%d) is more than maxReplicas (%d)." (int $dataplane.autoscaling.minReplicas) (int $dataplane.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and $dataplane.autoscaling.enabled (not (dig "requests" "cpu" "" $dataplane.resources)) -}}
{{- fail "dataplane.autoscaling by CPU needs dataplane.resources.requests.cpu: the target is a percentage of it." -}}
{{- end -}}
{{- end -}}
{{- end -}}
