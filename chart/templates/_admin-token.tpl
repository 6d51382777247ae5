{{/*
The administrator's token: the one that is there, so that an upgrade keeps it. `helm template` asks no cluster and makes a new one each time;
whoever applies its output (Argo CD, Flux) gives `adminTokenSecret`.
*/}}
{{- define "slipway.adminToken" -}}
{{- $there := lookup "v1" "Secret" .Release.Namespace (printf "%s-admin-token" .Release.Name) -}}
{{- if and $there $there.data $there.data.token -}}
{{- $there.data.token | b64dec -}}
{{- else -}}
{{- printf "slw_%s" (randAlphaNum 43) -}}
{{- end -}}
{{- end -}}
