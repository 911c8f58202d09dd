#!/bin/sh
# Writes prometheusrule.yaml from grafana/prometheus/mirrorwatch.rules.yml. After a change of the rules:
#
#   deploy/kubernetes/make-prometheusrule.sh
set -eu
cd "$(dirname "$0")"
{
    cat <<'HEAD'
# Generated from grafana/prometheus/mirrorwatch.rules.yml by make-prometheusrule.sh; change them there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mirrorwatch
  labels:
    app.kubernetes.io/name: mirrorwatch
spec:
HEAD
    # The groups, two columns further right.
    sed -n -e '/^groups:/,$p' ../../grafana/prometheus/mirrorwatch.rules.yml | sed -e 's/^\(.\)/  \1/'
} >prometheusrule.yaml
