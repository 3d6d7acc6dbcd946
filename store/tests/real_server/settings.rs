//! Settings from the environment and from a file: which one applies, what is refused and how, and that a refusal leaves
//! nothing on the disk. Also the examples that the project ships, started with addresses and paths changed.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    harness::{Etcdctl, Member, folder, paragraph, refused, squalld},
    tls::{Authority, Wanted, client},
};

const POISONED: &str = "this is no certificate, and a secret";

#[test]
fn bad_settings_are_refused_and_leave_nothing() {
    let folder = folder();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = Authority::new(folder.path(), "ca");
    let (one, two) = (authority.issue("one", Wanted::default()), authority.issue("two", Wanted::default()));
    let yaml = |name: &str, text: &str| format!("--config-file={}", file(name, text));
    let poisoned = file("poisoned", POISONED);
    let secure = "--listen-client-urls=https://127.0.0.1:1".to_owned();
    let advertised = "--advertise-client-urls=https://127.0.0.1:1".to_owned();
    let with = |flags: &[&str]| {
        [vec![secure.clone(), advertised.clone()], flags.iter().map(|flag| (*flag).to_owned()).collect()]
            .concat()
    };
    let cert = |path: &str| format!("--cert-file={path}");
    let key = |path: &str| format!("--key-file={path}");
    // The command line, the environment, the exit status, the message.
    type Case = (Vec<String>, &'static [(&'static str, &'static str)], i32, &'static str);
    let cases: Vec<Case> = vec![
        (vec!["--config-file=/nowhere/x.yml".into()], &[], 1, "/nowhere/x.yml: No such file"),
        (vec![format!("--config-file={}", folder.path().display())], &[], 1, "directory"),
        (vec![yaml("a.yml", "nosuch: 1")], &[], 1, "\"nosuch\" is no key"),
        (vec![yaml("b.yml", "data_dir: x\ndata-dir: x")], &[], 1, "spelled data-dir"),
        (vec![yaml("c.yml", "name: a\nname: b")], &[], 1, "twice"),
        (vec![yaml("d.yml", "cert-file: x")], &[], 1, "below client-transport-security"),
        (vec![yaml("e.yml", "snapshot-count: many")], &[], 1, "invalid value 'many' for 'snapshot-count"),
        (
            vec![yaml("f.yml", "discovery-srv: example.org")],
            &[],
            1,
            "discovery-srv=example.org: it is not there",
        ),
        (vec![yaml("g.yml", "election-timeout: 100")], &[], 1, "g.yml: election-timeout 100"),
        (vec![yaml("h.yml", "}{")], &[], 1, "no YAML"),
        (vec![yaml("i.yml", "enable-pprof: true")], &[], 1, "Use perf"),
        (vec!["--name=a".into()], &[("ETCD_NAME", "a")], 1, "Leave one of them out"),
        (vec!["--name=a".into(), "--name=b".into()], &[], 64, "--name is given twice"),
        (
            vec![
                format!("--data-dir={}/a.yml", folder.path().display()),
                "--listen-client-urls=http://127.0.0.1:0".into(),
                "--advertise-client-urls=http://127.0.0.1:2379".into(),
                "--listen-peer-urls=http://localhost:0".into(),
            ],
            &[],
            1,
            "a folder and a file are mixed up",
        ),
        (
            vec!["--listen-metrics-urls=https://127.0.0.1:3".into()],
            &[],
            1,
            "--listen-metrics-urls has https://127.0.0.1:3, which needs a certificate",
        ),
        (vec![], &[("ETCD_SNAPSHOT_COUNT", "many")], 1, "ETCD_SNAPSHOT_COUNT"),
        (vec![], &[("ETCD_CONFIG_FILE", "/nowhere/y.yml")], 1, "/nowhere/y.yml"),
        (vec![], &[("ETCD_DISCOVERY", "https://x")], 1, "ETCD_DISCOVERY=https://x: it is not there"),
        (vec!["--discovery-srv=example.org".into()], &[], 64, "Name the members in --initial-cluster"),
        (vec!["--unsafe-no-fsync".into()], &[], 64, "Leave it out"),
        (vec!["--client-cert-auth=perhaps".into()], &[], 64, "neither true nor false"),
        (vec!["--listen-client-urls=unix://".into()], &[], 64, "names no socket"),
        (vec!["--listen-peer-urls=http://127.0.0.1:2379,http://127.0.0.1:2379".into()], &[], 1, "twice"),
        (with(&[]), &[], 1, "needs a certificate. Give --cert-file"),
        (with(&[&cert(&one.cert)]), &[], 1, "without --key-file"),
        (with(&["--key-file=/x"]), &[], 1, "without --cert-file"),
        (with(&["--cert-file=/nowhere/c", "--key-file=/nowhere/k"]), &[], 1, "/nowhere/c: No such file"),
        (with(&[&cert(&one.cert), &key(&two.key)]), &[], 1, "does not belong to the certificate"),
        (with(&[&cert(&poisoned), &key(&one.key)]), &[], 1, "no certificate in PEM"),
        (with(&[&cert(&one.cert), &key(&poisoned)]), &[], 1, "no private key in PEM"),
        (with(&[&cert(&one.key), &key(&one.key)]), &[], 1, "no certificate in PEM"),
        (
            with(&[&cert(&one.cert), &key(&one.key), &format!("--trusted-ca-file={poisoned}")]),
            &[],
            1,
            "no certificate in PEM",
        ),
        (
            with(&[
                &cert(&one.cert),
                &key(&one.key),
                &format!("--trusted-ca-file={}", authority.file),
                &format!("--client-crl-file={poisoned}"),
            ]),
            &[],
            1,
            "TLS for clients",
        ),
        (with(&["--auto-tls", "--client-crl-file=/x"]), &[], 1, "that nobody is asked for"),
        (with(&["--auto-tls", "--cipher-suites=TLS_NONE"]), &[], 1, "is no cipher suite"),
        (with(&["--auto-tls", "--self-signed-cert-validity=0"]), &[], 64, "0 is not in 1..100"),
        (
            vec!["--peer-cert-allowed-cn=a".into(), "--peer-cert-allowed-hostname=b".into()],
            &[],
            1,
            "exclude each other",
        ),
        (vec!["--peer-client-cert-file=/x".into()], &[], 1, "without --peer-client-key-file"),
        (
            vec!["--peer-auto-tls".into(), "--peer-client-cert-auth".into()],
            &[],
            1,
            "no member would accept another",
        ),
        (
            vec![
                "--listen-peer-urls=https://127.0.0.1:2".into(),
                "--initial-advertise-peer-urls=https://127.0.0.1:2".into(),
            ],
            &[],
            1,
            "Give --peer-cert-file and --peer-key-file, or --peer-auto-tls",
        ),
    ];
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    for (flags, environment, expected, said) in cases {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mut command = squalld(&flags);
        command.current_dir(&place).envs(environment.iter().copied());
        let (status, answer) = refused(command);
        let what = paragraph(&answer);
        assert_eq!(status, Some(expected), "{flags:?} {environment:?}: {answer}");
        assert!(what.contains(said), "{flags:?} {environment:?}: {what}");
        assert!(
            !answer.contains(POISONED) && !answer.contains("BEGIN"),
            "a file's content is told: {answer}"
        );
        let left: Vec<_> = fs::read_dir(&place).unwrap().collect();
        assert!(left.is_empty(), "{flags:?} {environment:?} left {left:?}");
    }
}

#[test]
fn a_file_counts_alone() {
    let folder = folder();
    let member = Member::new(folder.path(), "filed");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let text = format!(
        "name: filed\ndata-dir: {}\nlisten-client-urls: {c}\nadvertise-client-urls: {c}\nlisten-peer-urls: {p}\n\
         initial-advertise-peer-urls: {p}\ninitial-cluster: filed={p}\nlogger: zap\nmax-wals: 5\n\
         experimental-watch-progress-notify-interval: 600000000000\nexperimental-corrupt-check-time: 0\n\
         grpc-keepalive-min-time: 5000000000\nstrict-reconfig-check: yes\npre-vote: on\nforce-new-cluster: off\n",
        member.data_dir.display(),
        c = member.client_url(),
        p = member.peer_url()
    );
    let path = folder.path().join("etcd.yml");
    fs::write(&path, text).unwrap();
    let mut command = squalld(&["--name=flagged", "--config-file"]);
    // A value that would be refused is not even read.
    command.arg(&path).env("ETCD_SNAPSHOT_COUNT", "many");
    let mut running = member.run(command);
    running.wait_ready();
    running.wait_log("are ignored: --name, ETCD_SNAPSHOT_COUNT");
    assert!(etcdctl.ok(&["member", "list"]).contains(", filed, "));
}

/// One of the shipped examples with this member's addresses and paths in it.
fn adapted(example: &str, member: &Member, pki: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let text = fs::read_to_string(root.join("deploy/systemd").join(example)).expect("the example");
    let cluster =
        "etcd1=https://192.168.1.11:2380,etcd2=https://192.168.1.12:2380,etcd3=https://192.168.1.13:2380";
    assert!(text.contains(cluster));
    text.replace(cluster, &format!("etcd1={}", member.peer_url()))
        .replace("https://192.168.1.11:2379", &member.client_url())
        .replace("https://192.168.1.11:2380", &member.peer_url())
        .replace("/var/lib/squalld", member.data_dir.to_str().expect("UTF-8"))
        .replace("/etc/squalld/pki", pki.to_str().expect("UTF-8"))
}

#[test]
fn the_examples_start_a_member_and_systemd_is_told() {
    let folder = folder();
    let authority = Authority::new(folder.path(), "ca");
    authority.issue("server", Wanted::default());
    authority.issue("peer", Wanted::default());
    let user = authority.issue("client", Wanted::default());
    let member = Member::with_tls(folder.path(), "etcd1");
    let Some(etcdctl) = Etcdctl::find(&[&member]) else { return };
    let etcdctl = etcdctl.with(client(&authority, Some(&user)));

    let socket: PathBuf = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut state = [0; 64];
        let length = systemd.recv(&mut state).expect("systemd is told");
        String::from_utf8(state[..length].to_vec()).unwrap()
    };
    // It is read in the same way as systemd's EnvironmentFile=.
    let environment = adapted("squalld.conf", &member, folder.path());
    let variables = environment.lines().filter(|line| !line.starts_with('#'));
    let mut command = squalld(&[]);
    command
        .envs(variables.map(|line| line.split_once('=').expect("NAME=value")))
        .env("NOTIFY_SOCKET", &socket);
    let mut running = member.run(command);
    assert_eq!(told(), "READY=1");
    running.wait_ready();
    assert_eq!(etcdctl.ok(&["put", "k", "v"]), "OK\n");
    assert!(running.terminate().success());
    assert_eq!(told(), "STOPPING=1");

    let path = folder.path().join("squalld.yml");
    fs::write(&path, adapted("squalld.yml", &member, folder.path())).unwrap();
    let mut command = squalld(&["--config-file"]);
    command.arg(&path);
    let mut running = member.run(command);
    running.wait_ready();
    assert_eq!(etcdctl.ok(&["get", "k"]), "k\nv\n");
}
