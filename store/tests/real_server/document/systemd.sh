# 部署模式 / Systemd 服务配置: the unit's environment file, and no arguments.
for machine in etcd1 etcd2 etcd3; do
  configure $machine <<'DOCUMENT'
ETCD_NAME=etcd1
ETCD_DATA_DIR=/var/lib/etcd
ETCD_LISTEN_CLIENT_URLS=https://192.168.1.11:2379
ETCD_ADVERTISE_CLIENT_URLS=https://192.168.1.11:2379
ETCD_LISTEN_PEER_URLS=https://192.168.1.11:2380
ETCD_INITIAL_ADVERTISE_PEER_URLS=https://192.168.1.11:2380
ETCD_INITIAL_CLUSTER=etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380
ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster-token
ETCD_INITIAL_CLUSTER_STATE=new
ETCD_CLIENT_CERT_AUTH=true
ETCD_TRUSTED_CA_FILE=/etc/etcd/pki/ca.crt
ETCD_CERT_FILE=/etc/etcd/pki/server.crt
ETCD_KEY_FILE=/etc/etcd/pki/server.key
ETCD_PEER_CLIENT_CERT_AUTH=true
ETCD_PEER_TRUSTED_CA_FILE=/etc/etcd/pki/ca.crt
ETCD_PEER_CERT_FILE=/etc/etcd/pki/peer.crt
ETCD_PEER_KEY_FILE=/etc/etcd/pki/peer.key
DOCUMENT
  on $machine <<<'systemctl start etcd'
done
serving etcd1 etcd2 etcd3
at etcd2 put greeting hello | expect '^OK$'

# A stop and a start of one member, or of all, lose nothing.
for machine in etcd1 etcd2 etcd3; do on $machine <<<'systemctl stop etcd' & done
wait
for machine in etcd1 etcd2 etcd3; do on $machine <<<'systemctl start etcd'; done
serving etcd1 etcd2 etcd3
at etcd3 get greeting | expect '^hello$'
