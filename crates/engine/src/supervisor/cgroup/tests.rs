use super::*;

/// A directory of plain files in the place of a hierarchy: what would be asked of the kernel can be read there.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("punctual-cgroup-{:x}", crate::clock::random()));
        fs::create_dir_all(&root).expect("a scratch directory");
        Self(root)
    }

    fn dir(&self, path: &str) -> PathBuf {
        let dir = self.0.join(path);
        fs::create_dir_all(&dir).expect("a scratch directory");
        dir
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.0.join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a scratch directory");
        fs::write(file, text).expect("a scratch file");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn limits(cpu: Option<u64>, memory: Option<u64>, pids: Option<u32>) -> Limits {
    Limits { cpu_millis: cpu, memory_bytes: memory, pids }
}

#[test]
fn each_controller_of_a_hybrid_machine_is_found_in_its_own_hierarchy() {
    let mounts = "\
30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 /docker/a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/with\\040blank rw shared:9 - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
    let groups = "\
9:name=systemd:/user
5:pids:/a/b
4:memory:/docker/a/c
1:cpu,cpuacct:/
0::/user
";
    let own = Found::of(mounts, groups).own;
    let found: Vec<_> =
        own.iter().map(|(v, names, dir)| (*v, names.join(","), dir.to_str().expect("text"))).collect();
    let expected = [
        (Version::One, "cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/"),
        (Version::One, "memory", "/sys/fs/cgroup/memory/c"),
        (Version::One, "pids", "/sys/fs/cgroup/with blank/a/b"),
        (Version::One, "name=systemd", "/sys/fs/cgroup/systemd/user"),
        (Version::Two, "", "/sys/fs/cgroup/unified/user"),
    ];
    assert_eq!(found, expected.map(|(version, names, dir)| (version, names.to_owned(), dir)));
}

#[test]
fn version_one_gets_its_files() {
    let tree = Tree::new();
    let controllers = vec![Controller::Memory, Controller::Cpu, Controller::Pids];
    let place = Place { version: Version::One, controllers, dir: tree.0.clone() };
    tree.dir("run.1");
    tree.write("run.1/memory.memsw.limit_in_bytes", "");
    let groups = Groups { places: vec![place], missing: Vec::new() };
    let bounded = groups.bound("run.1", &limits(Some(500), Some(1 << 20), Some(7)));
    assert_eq!(bounded.remark, None);
    let read = |file: &str| tree.read(&format!("run.1/{file}"));
    assert_eq!(read("memory.limit_in_bytes"), "1048576");
    assert_eq!(read("memory.memsw.limit_in_bytes"), "1048576");
    assert_eq!((read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")), ("50000".into(), "100000".into()));
    assert_eq!(read("pids.max"), "7");
    let group = bounded.group.expect("a group");
    assert_eq!(group.entries(), [tree.0.join("run.1/tasks")]);
    tree.write("run.1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    tree.write("run.1/memory.max_usage_in_bytes", "4096\n");
    assert!(group.oom());
    assert_eq!(group.memory_bytes_max(), Some(4096));
    group.kill();
    assert_eq!(read("pids.max"), "0", "nothing in it forks any more");
}

#[test]
fn version_two_gets_its_files_below_an_empty_parent() {
    let tree = Tree::new();
    let all = "cpuset cpu io memory pids\n";
    tree.write("svc/punctual-daemon/cgroup.type", "domain\n");
    tree.write("svc/cgroup.controllers", all);
    tree.write("svc/punctual-1-2/cgroup.controllers", all);
    tree.write("svc/punctual-1-2/run.1/memory.swap.max", "max");
    tree.write("svc/punctual-1-2/run.1/memory.oom.group", "0");
    let place =
        open_two(&tree.0.join("svc").join(SUBGROUP), "punctual-1-2", Controller::Cpu).expect("a place");
    assert_eq!(place.controllers, [Controller::Memory, Controller::Cpu, Controller::Pids]);
    let groups = Groups { places: vec![place], missing: Vec::new() };
    let group = groups.bound("run.1", &limits(Some(5), Some(1 << 20), Some(7))).group.expect("a group");
    let read = |file: &str| tree.read(&format!("svc/punctual-1-2/run.1/{file}"));
    assert_eq!((read("memory.max"), read("memory.swap.max")), ("1048576".into(), "0".into()));
    assert_eq!(read("memory.oom.group"), "1");
    assert_eq!(read("cpu.max"), "5000 1000000", "a quota below a millisecond is counted over a second");
    assert_eq!(read("pids.max"), "7");
    assert_eq!(group.entries(), [tree.0.join("svc/punctual-1-2/run.1/cgroup.procs")]);
    tree.write("svc/punctual-1-2/run.1/memory.events", "low 0\noom 3\noom_kill 0\n");
    assert!(!group.oom());
    group.kill();
    assert_eq!(read("cgroup.kill"), "1");
}

/// Needs no controllers, and so most machines have it, for those who may write there. Others prove the rest.
#[test]
fn a_group_of_version_two_dies_as_a_whole() {
    let Some((_, _, own)) = Found::here().own.into_iter().find(|(version, ..)| *version == Version::Two)
    else {
        return;
    };
    let dir = own.join(format!("punctual-test-{:x}", crate::clock::random()));
    if fs::create_dir(&dir).is_err() {
        return;
    }
    let group = Group { dirs: vec![(Version::Two, dir.clone())], memory: None };
    let mut shell = std::process::Command::new("sh");
    let script = "read go; trap '' TERM; setsid sleep 60 & env -i setsid sleep 60 & sleep 60";
    let mut child =
        shell.args(["-c", script]).stdin(std::process::Stdio::piped()).spawn().expect("it starts");
    fs::write(&group.entries()[0], child.id().to_string()).expect("it enters");
    drop(child.stdin.take());
    while group.processes().len() < 4 {
        std::thread::yield_now();
    }
    group.kill();
    child.wait().expect("it ends");
    while !group.processes().is_empty() {
        std::thread::yield_now();
    }
    drop(group);
    assert!(!dir.exists());
}

#[test]
fn a_service_without_a_subgroup_is_left_as_it_is() {
    let tree = Tree::new();
    tree.write("punctual.service/cgroup.type", "domain\n");
    tree.write("punctual.service/cgroup.procs", &format!("{}\n", std::process::id()));
    let refused = open_two(&tree.0.join("punctual.service"), "punctual-1-2", Controller::Pids);
    assert!(refused.expect_err("no place").contains("DelegateSubgroup=punctual-daemon"));
    // Nor is a group that others live in.
    tree.write("session.scope/cgroup.type", "domain\n");
    tree.write("session.scope/cgroup.procs", &format!("{}\n1\n", std::process::id()));
    let refused = open_two(&tree.0.join("session.scope"), "punctual-1-2", Controller::Pids);
    assert!(refused.expect_err("no place").contains("other processes share the group"));
    assert!(!tree.0.join("session.scope").join(SUBGROUP).exists());
}

#[test]
fn what_nothing_enforces_is_said() {
    let missing = vec![(Controller::Memory, "there is none".to_owned())];
    let groups = Groups { places: Vec::new(), missing };
    let bounded = groups.bound("run.1", &limits(None, Some(1 << 30), Some(5)));
    assert!(bounded.group.is_none());
    assert_eq!(bounded.remark.as_deref(), Some("EXE017: limits.memory is not enforced: there is none"));
    assert_eq!(groups.bound("run.1", &limits(None, None, Some(5))).remark, None);
}
