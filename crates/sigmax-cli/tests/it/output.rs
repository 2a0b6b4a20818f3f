//! `--output`, interrupted runs and closed pipes.

use std::io::Read;
use std::process::Stdio;

use crate::run::Files;

#[test]
fn a_file_is_written_in_full_and_nothing_else_stays() {
    let files = Files::usual();
    for (name, start) in [
        ("a.json", "{\n"),
        ("a.csv", "name,op,"),
        ("a.txt", "model.safetensors ("),
    ] {
        let outcome = files.audit(&["--output", name]);
        assert_eq!(
            (outcome.code, &*outcome.stdout, &*outcome.stderr),
            (0, "", "")
        );
        let text = std::fs::read_to_string(files.path(name)).unwrap();
        assert!(text.starts_with(start) && text.ends_with('\n'), "{text}");
    }
    assert_eq!(
        files.names(),
        ["a.csv", "a.json", "a.txt", "model.safetensors"]
    );
}

#[test]
fn a_failed_gate_still_writes_its_report() {
    let files = Files::usual();
    let outcome = files.audit(&["--output", "a.json", "--max-norm", "1"]);
    assert_eq!(outcome.code, 1);
    assert!(files.path("a.json").exists());
}

#[test]
fn what_cannot_be_written_fails_at_once() {
    let files = Files::usual();
    let outcome = files.audit(&["--output", "missing/a.json"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("cannot write missing/a.json"),
        "{}",
        outcome.stderr
    );
    std::fs::create_dir(files.path("folder")).unwrap();
    let outcome = files.audit(&["--output", "folder"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("cannot write folder"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn the_model_is_not_overwritten() {
    let files = Files::usual();
    let before = std::fs::read(files.path("model.safetensors")).unwrap();
    let outcome = files.audit(&["--output", "./model.safetensors"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("would overwrite"),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        std::fs::read(files.path("model.safetensors")).unwrap(),
        before
    );
}

#[test]
fn a_failed_run_keeps_the_old_file() {
    let files = Files::usual();
    files.write("a.json", "old");
    files.write("broken", "not a model");
    let outcome = files.run(&["audit", "broken", "--output", "a.json"]);
    assert_eq!(outcome.code, 2);
    assert_eq!(std::fs::read(files.path("a.json")).unwrap(), b"old");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let files = Files::many(40);
    let mut child = files
        .command(&["audit", "model.safetensors"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), stderr.as_str()),
        (Some(0), "")
    );
}

#[cfg(unix)]
#[test]
fn a_new_file_has_the_usual_mode_and_a_link_stays_a_link() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::usual();
    files.write("plain", "");
    files.audit(&["--output", "a.json"]);
    let mode = |name: &str| {
        std::fs::metadata(files.path(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("a.json"), mode("plain"));
    std::os::unix::fs::symlink("a.json", files.path("link.json")).unwrap();
    files.write("a.json", "old");
    files.audit(&["--output", "link.json"]);
    assert!(
        files
            .path("link.json")
            .symlink_metadata()
            .unwrap()
            .is_symlink()
    );
    assert_ne!(std::fs::read(files.path("a.json")).unwrap(), b"old");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let files = Files::many(60);
    files.write("old.json", "old");
    // A tolerance that keeps the search busy until it is interrupted.
    let args = [
        "audit",
        "model.safetensors",
        "--tolerance",
        "1e-12",
        "--output",
        "old.json",
    ];
    let mut child = files.command(&args).stderr(Stdio::null()).spawn().unwrap();
    let part = || files.names().iter().any(|name| name.ends_with(".part"));
    while !part() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it could be interrupted"
        );
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let kill = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(files.names(), ["model.safetensors", "old.json"]);
    assert_eq!(std::fs::read(files.path("old.json")).unwrap(), b"old");
}
