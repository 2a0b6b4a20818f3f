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
            let code: Vec<&str> = without_tests(&text)
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            let name = path.strip_prefix(&root).unwrap();
            (name.to_string_lossy().replace('\\', "/"), code.join("\n"))
        })
        .collect()
}

/// The text up to the module of unit tests, if it is part of the file.
fn without_tests(text: &str) -> &str {
    let tests = text.find("\nmod tests {");
    let end = tests.and_then(|at| text[..at].rfind("#[cfg(test)]"));
    &text[..end.unwrap_or(text.len())]
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

/// Every file, each after those it may use.
const RANKS: &[&str] = &[
    "rounding.rs",
    "deadline.rs",
    "enclosed.rs",
    "error/misfit.rs",
    "error/not_covered.rs",
    "error.rs",
    "named.rs",
    "claim.rs",
    "elementary.rs",
    "kernel.rs",
    "conv.rs",
    "layout.rs",
    "reads.rs",
    "linalg.rs",
    "side_by_side.rs",
    "krylov.rs",
    "verify.rs",
    "sparse.rs",
    "banded.rs",
    "symbol.rs",
    "symbol/fold.rs",
    "symbol/autocorrelation.rs",
    "reshape.rs",
    "estimate/ascent.rs",
    "bound/four.rs",
    "bound/gram.rs",
    "estimate/gram.rs",
    "estimate/operator.rs",
    "estimate/power.rs",
    "estimate/spectrum.rs",
    "estimate.rs",
    "bound/options.rs",
    "bound/search/spent.rs",
    "bound/search/cover.rs",
    "bound/search/torus.rs",
    "bound/search/grid.rs",
    "bound/search/prove.rs",
    "bound/search/row.rs",
    "bound/search.rs",
    "bound/norm.rs",
    "bound/circular.rs",
    "bound/dense.rs",
    "bound/sized.rs",
    "bound/weighted.rs",
    "bound.rs",
    "audit.rs",
    "weight.rs",
    "weight/enclosed.rs",
    "weight/low_rank.rs",
    "weight/masked.rs",
    "weight/spectral.rs",
    "weight/weight_norm.rs",
    "network/op/activation/softmax.rs",
    "network/op/activation.rs",
    "network/op/activation/value.rs",
    "network/op/activation/curvature.rs",
    "network/op/activation/derivative.rs",
    "network/op/activation/lanes.rs",
    "network/op/channels.rs",
    "network/op/affine.rs",
    "network/op/axis/filter.rs",
    "network/op/axis.rs",
    "network/op/normalisation.rs",
    "network/op/pool.rs",
    "network/op/fold.rs",
    "network/op/pick.rs",
    "network/op/separable.rs",
    "network/op.rs",
    "network/graph.rs",
    "network/builder.rs",
    "network/bounds.rs",
    "network/rule/slack.rs",
    "network/rule/lattice_map.rs",
    "network/rule/block.rs",
    "network/rule/chain.rs",
    "network/rule/sum.rs",
    "network/rule/shared.rs",
    "network/rule/scaling/ties.rs",
    "network/rule/scaling/proposal.rs",
    "network/rule/scaling.rs",
    "network/rule/residual.rs",
    "network/rule.rs",
    "network/lipschitz.rs",
    "network/check/cover.rs",
    "network/check.rs",
    "network/eval/rounds.rs",
    "network/eval/apply.rs",
    "network/eval/forward.rs",
    "network/eval/linear.rs",
    "network/eval/backward.rs",
    "network/eval/gradient.rs",
    "network/eval.rs",
    "network/jacobian.rs",
    "network/logits.rs",
    "network/curvature/kappa.rs",
    "network/curvature/units.rs",
    "network/curvature/layers.rs",
    "network/curvature.rs",
    "network/hessian.rs",
    "network/gradient.rs",
    "network/tangent.rs",
    "network/tangent/search.rs",
    "network/local/slopes.rs",
    "network/certificate.rs",
    "network/last_layer.rs",
    "network/local/rows.rs",
    "network/local/reach.rs",
    "network/local/scatter.rs",
    "network/local/prepared.rs",
    "network/local/pieces.rs",
    "network/local/bend.rs",
    "network/local/pool.rs",
    "network/local/pair.rs",
    "network/local/share.rs",
    "network/local/guide.rs",
    "network/local/around.rs",
    "network/local/back.rs",
    "network/local/boxes.rs",
    "network/local/ascent.rs",
    "network/certify.rs",
    "network/second_order.rs",
    "network/local.rs",
    "network.rs",
    "lib.rs",
];

/// The files that may make an `Upper`, a `Lower` or a `Bracket`.
const CLAIMS: &[&str] = &[
    "audit.rs",
    "bound/circular.rs",
    "bound/dense.rs",
    "bound/four.rs",
    "bound/gram.rs",
    "bound/norm.rs",
    "bound/sized.rs",
    "network/certificate.rs",
    "network/certify.rs",
    "network/check.rs",
    "network/curvature/layers.rs",
    "network/curvature.rs",
    "network/eval/forward.rs",
    "network/gradient.rs",
    "network/hessian.rs",
    "network/local.rs",
    "network/rule/chain.rs",
    "network/rule/lattice_map.rs",
    "network/rule/residual.rs",
    "network/rule/scaling.rs",
    "network/rule/shared.rs",
    "network/rule/slack.rs",
    "network/rule/sum.rs",
    "network/rule.rs",
    "network/second_order.rs",
];

/// The paths from the root of the crate that `code` names: imports, with braces taken apart, and paths
/// in expressions.
fn paths(code: &str) -> Vec<String> {
    fn expand(prefix: &str, tree: &str, into: &mut Vec<String>) {
        let end = tree
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .unwrap_or(tree.len());
        let path = format!("{prefix}{}", &tree[..end]);
        if !tree[end..].starts_with('{') {
            into.push(path);
            return;
        }
        let (mut depth, mut start) = (0, end + 1);
        for (i, c) in tree[end..].char_indices() {
            let at = end + i;
            depth += i32::from(c == '{') - i32::from(c == '}');
            if (c == ',' && depth == 1) || depth == 0 {
                let item = &tree[start..at];
                if !item.is_empty() {
                    expand(&path, item, into);
                }
                start = at + 1;
            }
            if depth == 0 {
                return;
            }
        }
    }
    let dense: String = code.split_whitespace().collect();
    let mut found = Vec::new();
    for (at, _) in dense.match_indices("crate::") {
        expand("", &dense[at + "crate::".len()..], &mut found);
    }
    found
}

/// The file that a path from the root of the crate leads into; `lib.rs` for a name at the root.
fn file_of(path: &str, files: &[&str]) -> String {
    let segments: Vec<&str> = path.split("::").filter(|s| !s.is_empty()).collect();
    (1..=segments.len())
        .rev()
        .map(|n| format!("{}.rs", segments[..n].join("/")))
        .find(|file| files.contains(&file.as_str()))
        .unwrap_or_else(|| "lib.rs".to_owned())
}

/// The files that a file uses: by paths from the root, and its own modules by their names.
fn uses(name: &str, code: &str, files: &[&str]) -> Vec<String> {
    let mut used: Vec<String> = paths(code).iter().map(|p| file_of(p, files)).collect();
    let folder = match name {
        "lib.rs" => String::new(),
        other => format!("{}/", other.trim_end_matches(".rs")),
    };
    for file in files {
        let module = file
            .strip_prefix(&folder)
            .and_then(|rest| rest.strip_suffix(".rs"));
        let Some(module) = module.filter(|module| !module.contains('/')) else {
            continue;
        };
        let named = code.match_indices(&format!("{module}::")).any(|(at, _)| {
            !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        });
        if named {
            used.push((*file).to_owned());
        }
    }
    used.retain(|file| file != name);
    used
}

#[test]
fn every_file_uses_only_files_before_it() {
    let code = code();
    let files: Vec<&str> = code.iter().map(|(name, _)| name.as_str()).collect();
    let rank = |name: &str| RANKS.iter().position(|file| *file == name);
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for (name, code) in &code {
        if name.ends_with("/tests.rs") {
            continue;
        }
        assert!(
            rank(name).is_some(),
            "{name} has no place in the list of files"
        );
        assert!(
            !code.contains("super::"),
            "{name}: paths start at the crate's root"
        );
        for used in uses(name, code, &files) {
            arrows += 1;
            if rank(&used) >= rank(name) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "upward:\n{}", wrong.join("\n"));
    let gone = RANKS.iter().find(|file| !files.contains(file));
    assert_eq!(gone, None, "a file that is listed and not there");
    assert!(arrows > 100, "the sources were not understood");
}

#[test]
fn paths_are_taken_apart() {
    let code = "use crate::a::{self, b::{C, D}, e};\nlet x = crate::f::g(1);";
    assert_eq!(
        paths(code),
        ["a::self", "a::b::C", "a::b::D", "a::e", "f::g"]
    );
    let files = ["a.rs", "a/b.rs", "lib.rs"];
    assert_eq!(file_of("a::b::C", &files), "a/b.rs");
    assert_eq!(file_of("a::self", &files), "a.rs");
    assert_eq!(file_of("Root", &files), "lib.rs");
    let code = "pub use b::C;\nmod b;";
    assert_eq!(uses("a.rs", code, &files), ["a/b.rs"]);
}

#[test]
fn only_these_files_claim() {
    let claims = ["Upper::claim(", "Lower::claim(", "Bracket::claim("];
    let made: Vec<String> = code()
        .into_iter()
        .filter(|(name, code)| name != "claim.rs" && claims.iter().any(|c| code.contains(c)))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(made, CLAIMS, "the files that make a bound");
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
    assert_eq!(of("sigmax"), ["faer", "pulp", "rayon", "thiserror"]);
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
    assert_eq!(
        ours("sigmax-python"),
        ["sigmax", "sigmax-cli", "sigmax-formats", "sigmax-run"]
    );
    assert_eq!(ours("sigmax-burn"), ["sigmax"]);
    assert_eq!(
        ours("sigmax-train"),
        ["sigmax", "sigmax-burn", "sigmax-formats"]
    );
}

#[test]
fn packages_include_nothing_from_outside() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for entry in std::fs::read_dir(&crates).unwrap() {
        let package = entry.unwrap().path().canonicalize().unwrap();
        let folders = ["src", "examples", "benches"].map(|folder| package.join(folder));
        for file in folders
            .iter()
            .filter(|f| f.is_dir())
            .flat_map(|f| sources(f))
        {
            let text = std::fs::read_to_string(&file).unwrap();
            let macros = ["include_str!(", "include_bytes!(", "include!("];
            for rest in macros.iter().flat_map(|word| text.split(word).skip(1)) {
                let path = rest.trim_start().strip_prefix('"').unwrap();
                let path = path.split('"').next().unwrap();
                let included = file.parent().unwrap().join(path).canonicalize().unwrap();
                assert!(
                    included.starts_with(&package),
                    "{} includes {path}, which its package does not hold",
                    file.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "nothing is included: the rule checks nothing");
}
