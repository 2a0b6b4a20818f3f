//! The structure that the guarantees rest on, read off the sources.

use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// (path below `src/`, code without comments and unit tests) of every file.
fn code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root)
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code: Vec<&str> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            let name = path.strip_prefix(&root).unwrap();
            (name.to_string_lossy().replace('\\', "/"), code.join("\n"))
        })
        .collect()
}

fn assert_only(word: &str, allowed: impl Fn(&str) -> bool) {
    let mut seen = false;
    for (name, code) in code() {
        if code.contains(word) {
            assert!(allowed(&name), "{name} must not contain {word:?}");
            seen = true;
        }
    }
    assert!(seen, "{word:?} occurs nowhere: the rule checks nothing");
}

#[test]
fn only_bounds_are_claimed() {
    for claim in ["Upper::claim(", "Lower::claim(", "Bracket::claim("] {
        assert_only(claim, |name| {
            ["bound/", "network/"]
                .iter()
                .any(|folder| name.starts_with(folder))
                || name == "claim.rs"
                || name == "audit.rs"
        });
    }
}

#[test]
fn estimates_make_no_claims_and_bounds_no_estimates() {
    for (name, code) in code() {
        if name.starts_with("estimate") {
            for word in ["Upper", "Lower", "Bracket"] {
                let named = code
                    .split(|c: char| !c.is_alphanumeric())
                    .any(|w| w == word);
                assert!(!named, "{name} must not name {word}");
            }
        }
        if name.starts_with("bound") {
            assert!(!code.contains("Estimate::new"), "{name} makes an estimate");
        }
    }
}

#[test]
fn one_file_knows_the_dense_library_and_one_knows_an_ulp() {
    assert_only("faer::", |name| name == "linalg.rs");
    assert_only(".next_up()", |name| name == "rounding.rs");
    assert_only(".next_down()", |name| name == "rounding.rs");
}

#[test]
fn the_crates_depend_on_each_other_in_one_direction() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let of = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(crates.join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        manifest["dependencies"]
            .as_table()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(of("sigmax"), ["faer", "rayon", "thiserror"]);
    let ours = |name: &str| -> Vec<String> {
        of(name)
            .into_iter()
            .filter(|d| d.starts_with("sigmax"))
            .collect()
    };
    assert_eq!(ours("sigmax-formats"), ["sigmax"]);
    assert_eq!(ours("sigmax-run"), ["sigmax", "sigmax-formats"]);
    assert_eq!(
        ours("sigmax-cli"),
        ["sigmax", "sigmax-formats", "sigmax-run"]
    );
    assert_eq!(ours("sigmax-burn"), ["sigmax"]);
    assert_eq!(
        ours("sigmax-train"),
        ["sigmax", "sigmax-burn", "sigmax-formats"]
    );
}
