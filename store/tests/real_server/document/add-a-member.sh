# 成员管理 / 添加成员
three_members
at etcd1 put greeting hello | expect '^OK$'
# Refused until all members have been connected for 5 s.
add() { on etcd1 <<'DOCUMENT'
etcdctl member add etcd4 --peer-urls=https://192.168.1.14:2380
DOCUMENT
}
soon add
expect '^Member +[0-9a-f]+ added to cluster +[0-9a-f]+$' '^$' '^ETCD_NAME="etcd4"$' \
  "^ETCD_INITIAL_ADVERTISE_PEER_URLS=\"https://$NET.14:2380\"$" '^ETCD_INITIAL_CLUSTER_STATE="existing"$' <"$ROOT/soon"
# The same members as the document prints, in the order of their ids.
sorted() { tr ',' '\n' | sort; }
printed=$(sed -n 's/^ETCD_INITIAL_CLUSTER="\(.*\)"$/\1/p' "$ROOT/soon" | sorted)
wanted=$(MACHINE=etcd4 localised <<<"$MEMBERS,etcd4=https://192.168.1.14:2380" | sorted)
[ "$printed" = "$wanted" ] || fail "$printed"

on etcd4 <<'DOCUMENT'
etcd \
  --name=etcd4 \
  --data-dir=/var/lib/etcd \
  --listen-client-urls=https://192.168.1.14:2379 \
  --advertise-client-urls=https://192.168.1.14:2379 \
  --listen-peer-urls=https://192.168.1.14:2380 \
  --initial-advertise-peer-urls=https://192.168.1.14:2380 \
  --initial-cluster=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380,etcd4=https://192.168.1.14:2380 \
  --initial-cluster-state=existing \
  # ... TLS 配置
DOCUMENT
serving etcd4
at etcd4 get greeting | expect '^hello$'
at etcd4 put greeting "from the fourth" | expect '^OK$'
at etcd1 member list | expect ', started, etcd4, '
