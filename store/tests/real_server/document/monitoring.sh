# 监控告警: a Prometheus with the document's scrape job and its rules, and each expression of the dashboard. docs/alerts.md
# says when the rules fire; here a real Prometheus evaluates them over real members.
three_members
at etcd1 put greeting hello | expect '^OK$'
mkdir -p "$ROOT/prometheus"
for file in "ca.crt etcd-ca.crt" "client.crt etcd-client.crt" "client.key etcd-client.key"; do
  cp "$ROOT/etcd1/etc/etcd/pki/${file% *}" "$ROOT/prometheus/${file#* }"
done
{
  # Prometheus' default is a minute.
  printf 'global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n' "$RULES"
  MACHINE=etcd1 localised <<'DOCUMENT' | sed "s|/etc/prometheus/|$ROOT/prometheus/|; s/^/  /"
- job_name: 'etcd'
  scheme: https
  tls_config:
    ca_file: /etc/prometheus/etcd-ca.crt
    cert_file: /etc/prometheus/etcd-client.crt
    key_file: /etc/prometheus/etcd-client.key
  static_configs:
    - targets:
      - 192.168.1.11:2379
      - 192.168.1.12:2379
      - 192.168.1.13:2379
DOCUMENT
} >"$ROOT/prometheus/prometheus.yml"
"$PROMETHEUS" --config.file="$ROOT/prometheus/prometheus.yml" --storage.tsdb.path="$ROOT/prometheus/data" \
  --web.listen-address="$NET.20:9090" >"$ROOT/prometheus/log" 2>&1 </dev/null &
ask() { "$PROMTOOL" query instant "http://$NET.20:9090" "$1"; }
# How many series an expression has.
come() { [ "$(ask "$1" | grep -c '=>')" = "$2" ]; }
soon come 'up{job="etcd"} == 1' 3
soon come 'etcd_server_has_leader{job="etcd"} == 1' 3

# Prometheus has read the rules, and every rule's expression, without the comparison at its end, finds its series.
"$PROMTOOL" check rules "$RULES" | expect '6 rules found'
soon come 'increase(etcd_server_leader_changes_seen_total{job="etcd"}[1h])' 3
soon come '(etcd_mvcc_db_total_size_in_bytes / etcd_server_quota_backend_bytes)' 3
soon come 'histogram_quantile(0.99, rate(etcd_disk_wal_fsync_duration_seconds_bucket{job="etcd"}[5m]))' 3
soon come 'increase(etcd_server_proposals_failed_total{job="etcd"}[1h])' 3
# The rule on round trips is left out: members measure them every 4 s and show them every 30 s, in etcd and squalld.
# The dashboard's first two panels; its others are above.
soon come 'max(etcd_server_is_leader{job="etcd"}) == 1' 1
soon come 'etcd_mvcc_db_total_size_in_bytes{job="etcd"}' 3
