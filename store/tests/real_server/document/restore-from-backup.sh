# 故障处理 / 从备份恢复
for machine in etcd1 etcd2 etcd3; do configure $machine <"$SECTIONS/etcd.conf"; on $machine <<<'systemctl start etcd'; done
serving etcd1 etcd2 etcd3
for n in 1 2 3 4 5; do at etcd1 put "key$n" "value$n" >"$ROOT/put"; done
at etcd1 del key4 | expect '^1$'
lease=$(at etcd1 lease grant 1000 | cut -d' ' -f2)
at etcd1 put leased value --lease="$lease" | expect '^OK$'
at etcd1 snapshot save "$ROOT/backup/snapshot.db" 2>&1 | expect 'Snapshot saved at'
at etcd1 put after "the snapshot" | expect '^OK$'

for machine in etcd1 etcd2 etcd3; do on $machine <<'DOCUMENT' &
systemctl stop etcd
DOCUMENT
done
wait
for machine in etcd1 etcd2 etcd3; do on $machine <<'DOCUMENT'
rm -rf /var/lib/etcd/*
DOCUMENT
# The folder must be missing or empty.
on $machine <<<'rmdir /var/lib/etcd 2>/dev/null || true'
done

on etcd1 <<'DOCUMENT'
etcdctl snapshot restore /path/to/snapshot.db \
  --name=etcd1 \
  --data-dir=/var/lib/etcd \
  --initial-cluster=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380 \
  --initial-cluster-token=etcd-cluster-restored \
  --initial-advertise-peer-urls=https://192.168.1.11:2380
DOCUMENT
on etcd2 <<'DOCUMENT'
etcdctl snapshot restore /path/to/snapshot.db \
  --name=etcd2 \
  --data-dir=/var/lib/etcd \
  --initial-cluster=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380 \
  --initial-cluster-token=etcd-cluster-restored \
  --initial-advertise-peer-urls=https://192.168.1.12:2380
DOCUMENT
on etcd3 <<'DOCUMENT'
etcdctl snapshot restore /path/to/snapshot.db \
  --name=etcd3 \
  --data-dir=/var/lib/etcd \
  --initial-cluster=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380 \
  --initial-cluster-token=etcd-cluster-restored \
  --initial-advertise-peer-urls=https://192.168.1.13:2380
DOCUMENT
for machine in etcd1 etcd2 etcd3; do on $machine <<'DOCUMENT'
systemctl start etcd
DOCUMENT
done
serving etcd1 etcd2 etcd3
for machine in etcd1 etcd2 etcd3; do
  [ "$(at $machine get key --prefix --print-value-only | tr '\n' ' ')" = "value1 value2 value3 value5 " ] || fail "not what was saved"
  [ -z "$(at $machine get after)" ] || fail "a write after the snapshot"
done
at etcd2 lease timetolive "$lease" --keys | expect "lease $lease granted with TTL\(1000s\)" 'attached keys\(\[leased\]\)'
at etcd3 put after "the restore" | expect '^OK$'
at etcd1 get after | expect '^the restore$'
at etcd1 member list | expect 'etcd1' 'etcd2' 'etcd3'
