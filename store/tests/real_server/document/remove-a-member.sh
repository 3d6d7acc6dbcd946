# 成员管理 / 移除成员
three_members
at etcd1 put greeting hello | expect '^OK$'
add() { on etcd1 <<<"etcdctl member add etcd4 --peer-urls=https://192.168.1.14:2380"; }
join() {
  soon add
  CLUSTER=$MEMBERS,etcd4=https://192.168.1.14:2380 on etcd4 <<<"etcd --name=etcd4 --initial-cluster-state=existing # ... 其他配置"
  serving etcd4
}
join

on etcd1 <<'DOCUMENT' | expect '^[0-9a-f]+, started, etcd4, https://127.*:2380, https://127.*:2379, false$'
etcdctl member list
DOCUMENT
remove() { on etcd1 <<'DOCUMENT'
etcdctl member remove 3a57933972cb5131
DOCUMENT
}
# Refused until the newcomer, too, has been connected for 5 s.
soon remove
expect '^Member +[0-9a-f]+ removed from cluster +[0-9a-f]+$' <"$ROOT/soon"
on etcd4 <<'DOCUMENT'
systemctl stop etcd
DOCUMENT
on etcd4 <<'DOCUMENT'
rm -rf /var/lib/etcd/*
DOCUMENT
[ "$(at etcd1 member list | wc -l)" = 3 ] || fail "$(at etcd1 member list)"
at etcd1 get greeting | expect '^hello$'

# "If it is to join again": as a new member, with the emptied folder.
join
at etcd4 get greeting | expect '^hello$'
