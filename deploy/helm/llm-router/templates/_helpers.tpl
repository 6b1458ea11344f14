{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- /* Names and labels; what a pod may not do; what cannot be meant. */ -}}

{{- define "router.name" -}}
{{- if contains "llm-router" .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-llm-router" (.Release.Name | trunc 29 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{- define "router.selector" -}}
app.kubernetes.io/name: llm-router
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: router
{{- end -}}

{{- define "vllm.selector" -}}
app.kubernetes.io/name: llm-router
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: engine
{{- end -}}

{{- define "router.labels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "router.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* The image sets two of these for docker run, and the environment is stronger than the file: an empty one is none. */ -}}
{{- define "router.env" -}}
- {name: LLM_ROUTER_CONFIG, value: /etc/llm-router/llm-router.yaml}
- {name: LLM_ROUTER_LISTEN, value: ""}
- {name: LLM_ROUTER_STATE_DIR, value: ""}
{{- end -}}

{{- define "router.validate" -}}
{{- $shared := dig "store" "postgres" "" .Values.config -}}
{{- $several := or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled -}}
{{- if and $several (not $shared) -}}
{{- fail "more than one replica wants a store that they share (config.store.postgres); else each has keys, limits and budgets of its own" -}}
{{- end -}}
{{- if and (not .Values.vllm.enabled) (not .Values.config.providers) -}}
{{- fail "no engine: set vllm.enabled, or name yours in config.providers" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpu) (not .Values.autoscaling.streams) -}}
{{- fail "autoscaling has nothing to look at: set autoscaling.cpu or autoscaling.streams" -}}
{{- end -}}
{{- end -}}
