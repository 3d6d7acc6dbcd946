# 部署模式 / 静态配置部署: three members, each told of all three.
on etcd1 <<'DOCUMENT'
etcd \
  --name=etcd1 \
  --data-dir=/var/lib/etcd \
  --listen-client-urls=https://192.168.1.11:2379 \
  --advertise-client-urls=https://192.168.1.11:2379 \
  --listen-peer-urls=https://192.168.1.11:2380 \
  --initial-advertise-peer-urls=https://192.168.1.11:2380 \
  --initial-cluster=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380 \
  --initial-cluster-token=etcd-cluster-token \
  --initial-cluster-state=new \
  --client-cert-auth=true \
  --trusted-ca-file=/etc/etcd/pki/ca.crt \
  --cert-file=/etc/etcd/pki/server.crt \
  --key-file=/etc/etcd/pki/server.key \
  --peer-client-cert-auth=true \
  --peer-trusted-ca-file=/etc/etcd/pki/ca.crt \
  --peer-cert-file=/etc/etcd/pki/peer.crt \
  --peer-key-file=/etc/etcd/pki/peer.key
DOCUMENT
on etcd2 <<'DOCUMENT'
etcd \
  --name=etcd2 \
  --data-dir=/var/lib/etcd \
  --listen-client-urls=https://192.168.1.12:2379 \
  --advertise-client-urls=https://192.168.1.12:2379 \
  --listen-peer-urls=https://192.168.1.12:2380 \
  --initial-advertise-peer-urls=https://192.168.1.12:2380 \
  --initial-cluster=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380 \
  --initial-cluster-token=etcd-cluster-token \
  --initial-cluster-state=new \
  # ... TLS 配置同上
DOCUMENT
on etcd3 <<'DOCUMENT'
etcd \
  --name=etcd3 \
  --data-dir=/var/lib/etcd \
  --listen-client-urls=https://192.168.1.13:2379 \
  --advertise-client-urls=https://192.168.1.13:2379 \
  --listen-peer-urls=https://192.168.1.13:2380 \
  --initial-advertise-peer-urls=https://192.168.1.13:2380 \
  --initial-cluster=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380 \
  --initial-cluster-token=etcd-cluster-token \
  --initial-cluster-state=new \
  # ... TLS 配置同上
DOCUMENT

serving etcd1 etcd2 etcd3
at etcd1 put greeting hello | expect '^OK$'
at etcd3 get greeting | expect '^hello$'
# No client is served without a certificate of this authority.
if (unset ETCDCTL_CERT ETCDCTL_KEY; at etcd1 --dial-timeout=2s --command-timeout=2s get greeting) 2>"$ROOT/refused"; then
  fail "a client without a certificate was served"
fi
# As in the table of 集群规划: three members tolerate the loss of one, and not of two.
power_off etcd3
soon at etcd1 put greeting "one is down"
power_off etcd2
if at etcd1 --command-timeout=2s put greeting "two are down" 2>"$ROOT/refused"; then fail "a write without a majority"; fi
