# 故障处理 / 单节点恢复
three_members
at etcd1 put greeting hello | expect '^OK$'
power_off etcd2
# "Minority: the cluster goes on."
soon at etcd1 put meanwhile "it went on"

remove() { on etcd1 <<'DOCUMENT'
etcdctl member remove <etcd2-member-id>
DOCUMENT
}
soon remove
expect '^Member +[0-9a-f]+ removed' <"$ROOT/soon"
on etcd1 <<'DOCUMENT'
ssh etcd2 "rm -rf /var/lib/etcd/*"
DOCUMENT
# Refused until the other two have been connected for 5 s.
add() { on etcd1 <<'DOCUMENT'
etcdctl member add etcd2 --peer-urls=https://192.168.1.12:2380
DOCUMENT
}
soon add
expect '^Member +[0-9a-f]+ added' '^ETCD_INITIAL_CLUSTER_STATE="existing"$' <"$ROOT/soon"
on etcd2 <<'DOCUMENT'
etcd \
  --name=etcd2 \
  --initial-cluster-state=existing \
  # ... 其他配置
DOCUMENT
serving etcd2
at etcd2 get greeting | expect '^hello$'
at etcd2 get meanwhile | expect '^it went on$'
# The member counts towards the quorum again.
power_off etcd3
soon at etcd2 put greeting "from the second"
