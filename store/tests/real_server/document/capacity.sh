# 运维最佳实践 / 容量规划
on etcd1 <<<"etcd --name=etcd1 --quota-backend-bytes=8589934592 --listen-metrics-urls=https://192.168.1.11:2381 --initial-cluster-state=new $(CLUSTER=${MEMBERS%%,*} others etcd1) # ... TLS 配置"
export ETCDCTL_ENDPOINTS=https://$NET.11:2379
serving etcd1
on etcd1 <<'DOCUMENT' | expect "$NET.11:2379" ' k?B '
etcdctl endpoint status -w table
DOCUMENT
[ -z "$(on etcd1 <<'DOCUMENT'
etcdctl alarm list
DOCUMENT
)" ] || fail "an alarm on an empty store"
# The metric by which the alert on the quota divides.
metrics() { curl -sS --cacert "$ETCDCTL_CACERT" --cert "$ETCDCTL_CERT" --key "$ETCDCTL_KEY" "https://$NET.11:$1/metrics"; }
metrics 2379 >"$ROOT/metrics"
# The metrics port shows it as well, with the same certificates.
metrics 2381 | expect '^etcd_server_quota_backend_bytes 8\.589934592e\+09$' '^etcd_mvcc_db_total_size_in_bytes '
on etcd1 <<<'systemctl stop etcd'

# A full quota, and the remedy: the alarm stays until it is disarmed.
on etcd1 <<<"etcd --name=etcd1 --quota-backend-bytes=200000 --initial-cluster-state=new $(CLUSTER=${MEMBERS%%,*} others etcd1) # ... TLS 配置"
serving etcd1
value=$(head -c 20000 /dev/zero | tr '\0' x)
full() { ! at etcd1 put key "$value" 2>"$ROOT/refused" >"$ROOT/put"; }
soon full
expect 'mvcc: database space exceeded' <"$ROOT/refused"
on etcd1 <<<'etcdctl alarm list' | expect '^memberID:[0-9]+ alarm:NOSPACE $'
revision=$(at etcd1 endpoint status -w json | jq -r '.[0].Status.header.revision')
at etcd1 compact "$revision" --physical | expect "compacted revision $revision"
at etcd1 defrag | expect 'Finished defragmenting'
at etcd1 alarm disarm | expect 'alarm:NOSPACE'
at etcd1 put key small | expect '^OK$'
