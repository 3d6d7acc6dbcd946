# 成员管理 / 查看成员
three_members
on etcd1 <<'DOCUMENT' | tee "$ROOT/list" | expect '^\| +ID +\| STATUS +\| NAME +\|' '\| IS LEARNER \|$' '\| started \| etcd1 \|'
etcdctl member list -w table
DOCUMENT
# As the document prints it: a frame, a heading, three members, none of them a learner.
[ "$(wc -l <"$ROOT/list")" = 7 ] || fail "$(cat "$ROOT/list")"
[ "$(grep -Ec '^\| +[0-9a-f]+ \| started \| etcd[123] \| https://127.*:2380 \| https://127.*:2379 \| +false \|$' "$ROOT/list")" = 3 ] ||
  fail "$(cat "$ROOT/list")"

on etcd1 <<'DOCUMENT' | expect '\|\s+ENDPOINT\s+\|\s+ID\s+\| VERSION \| DB SIZE \| IS LEADER \| IS LEARNER \| RAFT TERM \| RAFT INDEX' "$NET.11:2379" "$NET.13:2379"
etcdctl endpoint status -w table
DOCUMENT

# etcdctl prints the failure on standard error.
on etcd1 <<'DOCUMENT' 2>&1 | expect "$NET.11:2379 is healthy: successfully committed proposal" "$NET.12:2379 is healthy" "$NET.13:2379 is healthy"
etcdctl endpoint health
DOCUMENT
power_off etcd2
serving etcd1 etcd3
if said=$(on etcd1 2>&1 <<<'etcdctl endpoint health --command-timeout=3s'); then fail "a dead member is healthy: $said"; fi
expect "$NET.11:2379 is healthy" "$NET.12:2379 is unhealthy" <<<"$said"
