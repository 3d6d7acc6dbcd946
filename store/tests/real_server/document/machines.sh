# What the document assumes, as shell functions: four machines with addresses, folders and certificates of their own,
# `etcd`, `systemctl` and `ssh`. Every section's script begins with this file.
#
# Lines between `<<'DOCUMENT'` and `DOCUMENT` are the document's, letter by letter. `on MACHINE` runs them, with these
# changes: the machines are on the loopback network of this test ($NET), their folders lie below $ROOT, an id or an elision
# ("# ... as above") is filled in. The other lines of the scripts are not in the document: they wait for members, and check
# results.
#
# From the runner: ROOT, NET (the first three bytes of the addresses), DAEMON (etcd or squalld), ETCDCTL.
set -euo pipefail
shopt -s inherit_errexit

fail() { printf '\n*** %s\n' "$*" >&2; exit 1; }

# Reads an answer, which must match each of these expressions.
expect() {
  local said pattern
  said=$(cat)
  for pattern; do grep -Eq -- "$pattern" <<<"$said" || fail "no match for '$pattern' in: $said"; done
}

# Repeats a command until it succeeds.
soon() {
  local until=$((SECONDS + 60))
  until "$@" >"$ROOT/soon" 2>&1; do
    [ "$SECONDS" -lt "$until" ] || fail "it never comes to '$*': $(cat "$ROOT/soon")"
    sleep 0.1
  done
}

# Standard input, with the addresses and paths of this machine.
localised() {
  local text; text=$(cat)
  case $text in *"<etcd2-member-id>"*) text=${text//"<etcd2-member-id>"/$(id_of etcd2)} ;; esac
  case $text in *3a57933972cb5131*) text=${text//3a57933972cb5131/$(id_of etcd4)} ;; esac
  case $text in *8e9e05c52164694d*) text=${text//8e9e05c52164694d/$(id_of etcd1)} ;; esac
  sed -e "s|# \.\.\. TLS 配置.*|$TLS|" -e "s|# \.\.\. 其他配置.*|$(others "$MACHINE" "$text") $TLS|" <<<"$text" |
    sed -e "s|192\.168\.1\.|$NET.|g" -e "s|/backup/|$ROOT/backup/|g" -e "s|/path/to/|$ROOT/backup/|g" \
      -e "/^ssh /! s|/var/lib/etcd|$ROOT/$MACHINE/var/lib/etcd|g" -e "s|/etc/etcd/|$ROOT/$MACHINE/etc/etcd/|g"
}

# Runs standard input on a machine.
on() {
  local MACHINE=$1 text
  text=$(localised)
  (eval "$text")
}

# "As above": the TLS flags in the document's first block.
TLS='--client-cert-auth=true --trusted-ca-file=/etc/etcd/pki/ca.crt --cert-file=/etc/etcd/pki/server.crt --key-file=/etc/etcd/pki/server.key --peer-client-cert-auth=true --peer-trusted-ca-file=/etc/etcd/pki/ca.crt --peer-cert-file=/etc/etcd/pki/peer.crt --peer-key-file=/etc/etcd/pki/peer.key'
MEMBERS=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380

# "The other settings" of a machine: those of the first block that the line does not have.
others() {
  local at=192.168.1.1${1#etcd} cluster=${CLUSTER:-$MEMBERS}
  case ${2:-} in *--data-dir=*) ;; *) printf -- '--data-dir=/var/lib/etcd ' ;; esac
  echo "--listen-client-urls=https://$at:2379 --advertise-client-urls=https://$at:2379" \
    "--listen-peer-urls=https://$at:2380 --initial-advertise-peer-urls=https://$at:2380" \
    "--initial-cluster=$cluster --initial-cluster-token=etcd-cluster-token"
}

# The service: it runs in the background, and its log is kept.
etcd() {
  mkdir -p "$ROOT/$MACHINE/var/lib"
  "$DAEMON" "$@" >>"$ROOT/$MACHINE/log" 2>&1 </dev/null &
  echo $! >"$ROOT/$MACHINE/pid"
}

etcdctl() { "$ETCDCTL" "$@"; }

alive() { kill -0 "$(cat "$ROOT/$MACHINE/pid")" 2>/dev/null; }

# The unit of the document: its environment file, and a program without arguments.
systemctl() {
  [ "$2" = etcd ] || fail "there is no service $2"
  case $1 in
    stop)
      kill "$(cat "$ROOT/$MACHINE/pid")" 2>/dev/null || true
      while alive; do sleep 0.05; done ;;
    start)
      set -a
      . "$ROOT/$MACHINE/etc/etcd/etcd.conf"
      etcd ;;
    *) fail "systemctl $1" ;;
  esac
}

ssh() { on "$1" <<<"$2"; }

# A machine that dies suddenly.
power_off() { kill -9 "$(cat "$ROOT/$1/pid")"; }

# The environment file of the unit, for a machine.
configure() {
  local MACHINE=$1
  localised >"$ROOT/$MACHINE/etc/etcd/etcd.conf" <<<"$(sed -e "s|^ETCD_NAME=.*|ETCD_NAME=$1|" \
    -e "/^ETCD_INITIAL_CLUSTER=/! s|192\.168\.1\.11|192.168.1.1${1#etcd}|")"
}

id_of() { "$ETCDCTL" member list | sed -n "s/^\([0-9a-f]*\), [a-z]*, $1, .*/\1/p"; }

at() { ETCDCTL_ENDPOINTS=https://$NET.1${1#etcd}:2379 "$ETCDCTL" "${@:2}"; }

# Waits until each of the named members serves.
serving() { local machine; for machine; do soon at "$machine" endpoint health; soon at "$machine" get nothing; done; }

# The clients' environment.
here=$(MACHINE=etcd1 localised <<'DOCUMENT'
export ETCDCTL_API=3
export ETCDCTL_ENDPOINTS=https://192.168.1.11:2379,https://192.168.1.12:2379,https://192.168.1.13:2379
export ETCDCTL_CACERT=/etc/etcd/pki/ca.crt
export ETCDCTL_CERT=/etc/etcd/pki/client.crt
export ETCDCTL_KEY=/etc/etcd/pki/client.key
DOCUMENT
)
eval "$here"

# A cluster of three, for the sections that begin with one.
three_members() {
  local machine
  for machine in etcd1 etcd2 etcd3; do
    on $machine <<<"etcd --name=$machine --initial-cluster-state=new # ... 其他配置"
  done
  serving etcd1 etcd2 etcd3
}
