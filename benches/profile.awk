# Where the time goes, by subject: reads `perf script -F comm,ip,sym --no-inline` and counts each sample for the innermost
# frame that belongs to a subject. So an allocation counts for the code that asked for it. docs/performance.md says how to use it.

function subject(frame) {
    if (frame ~ /squall_checker/) return "judge"
    if (frame ~ /blake3|world::audit/) return "audit hash"
    if (frame ~ /world::disk/) return "disk and engine"
    if (frame ~ /world::net/) return "network"
    if (frame ~ /world::/) return "timers, courier, tasks"
    if (frame ~ /squall_core/) return "state machine"
    if (frame ~ /squall_store::wal|crc32c/) return "WAL"
    if (frame ~ /squall_store::(peer|proto::squall)/) return "links between members"
    if (frame ~ /squall_store::(api|proto::etcdserverpb)/) return "client API"
    if (frame ~ /squall_store|raft::|raft_proto|protobuf/) return "node loop and raft"
    if (frame ~ /squall::workload|squall::run::start_clients/) return "clients and recorder"
    if (frame ~ /squall::/) return "run, nemesis, report"
    if (frame ~ /tonic|prost|tower|http/) return "gRPC (tonic, prost, http)"
    if (frame ~ /madsim|async_task|tokio|futures|tracing/) return "executor and channels"
    return ""
}

function count_sample() {
    if (depth == 0) return
    samples++
    for (i = 1; i <= depth; i++) {
        if (found = subject(stack[i])) break
    }
    by_subject[found ? found : "the rest"]++
    if (stack[1] ~ /malloc|cfree|realloc|calloc|_int_free|unlink_chunk/) allocator++
    if (stack[1] ~ /^__mem(move|cpy|set)/) copying++
    depth = 0
}

/^[ \t]+[0-9a-f]+ / { sub(/^[ \t]+[0-9a-f]+ /, ""); stack[++depth] = $0; next }
{ count_sample() }

END {
    count_sample()
    for (name in by_subject) printf "%5.1f %%  %s\n", 100 * by_subject[name] / samples, name | "sort -rn"
    close("sort -rn")
    printf "\n%5.1f %%  of all in the allocator, %.1f %% copying memory; %d samples\n",
        100 * allocator / samples, 100 * copying / samples, samples
}
