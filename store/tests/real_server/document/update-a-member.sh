# 成员管理 / 更新成员: to its present URL, as in the document, and to another.
three_members
on etcd1 <<'DOCUMENT' | expect '^Member +[0-9a-f]+ updated in cluster +[0-9a-f]+$'
etcdctl member update 8e9e05c52164694d --peer-urls=https://192.168.1.11:2380
DOCUMENT
at etcd2 put greeting hello | expect '^OK$'

# The document ends here. A member that moves listens at its new URL from its next start on.
id=$(id_of etcd3)
on etcd1 <<<"etcdctl member update $id --peer-urls=https://192.168.1.13:2390" | expect '^Member'
on etcd3 <<<'systemctl stop etcd'
on etcd3 <<<"etcd --name=etcd3 --initial-cluster-state=existing $(others etcd3 | sed 's|1\.13:2380|1.13:2390|g') # ... TLS 配置"
serving etcd3
power_off etcd1
soon at etcd3 put greeting "without the first"
at etcd2 get greeting | expect '^without the first$'
