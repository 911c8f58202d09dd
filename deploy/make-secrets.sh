#!/bin/sh
# Makes what Prometheus and the sidecar need to know each other, and Grafana's first password:
#
#   DIR/sidecar-password   for Prometheus, and for the sidecar's health check
#   DIR/web.yml            for the sidecar: the same password as a bcrypt hash
#   DIR/grafana-password   for Grafana's user admin
#
# Usage: deploy/make-secrets.sh DIR     Needs htpasswd (Debian: apache2-utils). What is there already is kept.
set -eu
umask 027

if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
if ! command -v htpasswd >/dev/null; then
    echo "error: htpasswd is not installed; it is part of apache2-utils (Debian) or httpd-tools (Fedora)" >&2
    exit 1
fi
mkdir -p "$1"
cd "$1"
for name in sidecar-password grafana-password; do
    # Hexadecimal: safe in every file format and header that it will pass.
    [ -s "$name" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$name"
done
# Made anew each time, so that it fits the password. By standard input: arguments can be read by every user.
hash=$(htpasswd -niBC 10 mirrorwatch <sidecar-password | cut -d: -f2)
printf 'basic_auth_users:\n  mirrorwatch: %s\n' "$hash" >web.yml.new
mv web.yml.new web.yml
echo "made: $(pwd)/sidecar-password, web.yml, grafana-password; group $(id -gn) may read them"
