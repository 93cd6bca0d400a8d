{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{/* Labels that select Pods; the argument is {root, component}. */}}
{{- define "accelchain.selector" -}}
app.kubernetes.io/name: accelchain
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "accelchain.labels" -}}
{{ include "accelchain.selector" . }}
app.kubernetes.io/part-of: accelchain
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{/* The operators that run, as a JSON array. */}}
{{- define "accelchain.operators" -}}
{{- $names := list "chain" "dataflow" "scheduler" -}}
{{- if .Values.argo.taskset.enabled -}}
{{- $names = append $names "taskset" -}}
{{- end -}}
{{ toJson $names }}
{{- end }}

{{/* A whole image; the argument is {root, image}. */}}
{{- define "accelchain.image" -}}
{{- $image := .root.Values.image -}}
{{- if contains "/" .image -}}
{{ .image }}
{{- else -}}
{{ with $image.registry }}{{ . }}/{{ end }}{{ .image }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* What the Pods of operators and agents share; the argument is {root, podSecurity: more of the Pod's securityContext}. */}}
{{- define "accelchain.pod" -}}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
  {{- with .supplementalGroups }}
  supplementalGroups: {{ toJson . }}
  {{- end }}
{{- end }}

{{/* What all containers share. */}}
{{- define "accelchain.restricted" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# a process that ends by a failure says why in the last line of its log
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* What the containers of operators and agents share. */}}
{{- define "accelchain.container" -}}
{{ include "accelchain.restricted" . }}
ports:
  - {name: metrics, containerPort: 8080}
  - {name: health, containerPort: 8081}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{/* Rules of a NetworkPolicy: the API server and DNS. */}}
{{- define "accelchain.egress" -}}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .Values.networkPolicy.apiServerCidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
  to: {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
{{- end }}

{{/* The file of worker options. */}}
{{- define "accelchain.workerOptions" -}}
{{- $options := deepCopy .Values.worker -}}
{{- $_ := set $options "image" (include "accelchain.image" (dict "root" . "image" .Values.image.worker)) -}}
{{- $_ := set $options "imagePullPolicy" .Values.image.pullPolicy -}}
{{ toYaml $options }}
{{- end }}
