//! The inputs of `tests/fuzz/corpus` and mutations of them, on every target, without a fuzzer.
//!
//! `MAIL_SMTP2_FUZZ` says how many mutations each target is given: 3,000 in the gate, 50,000 in the soak. A failing input is
//! written to a file that is named; the seed is printed, and `MAIL_SMTP2_SEED` repeats it.
#![allow(clippy::disallowed_methods, reason = "the environment and stderr of a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{TARGETS, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// What is in a target's folder, by name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder().join("corpus").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Bytes made of others: cut, joined, repeated, overwritten, as a fuzzer would.
fn mutation(random: &mut fastrand::Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    const WORDS: [&[u8]; 16] = [
        b"\n", b"\r\n", b" ", b"\"", b"\\", b"{}", b"[", b"]", b",", b":", b"null", b"1e400", b"-0.0",
        b"\xff", b"\0", b"=",
    ];
    let piece = |random: &mut fastrand::Rng| -> Vec<u8> {
        let other = &corpus[random.usize(..corpus.len())];
        let (from, to) = (random.usize(..=other.len()), random.usize(..=other.len()));
        other[from.min(to)..from.max(to)].to_vec()
    };
    let mut bytes = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=bytes.len());
        let end = random.usize(at..=bytes.len()).min(at + 40);
        match random.u8(..6) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, WORDS[random.usize(..WORDS.len())].iter().copied())),
            3 => drop(bytes.splice(at..end, piece(random))),
            4 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ => bytes[at..end].iter_mut().take(2).for_each(|byte| *byte ^= 1 << random.u8(..8)),
        }
    }
    bytes.truncate(8192);
    bytes
}

/// Tries one input; where it fails, the input is kept.
fn attempt(target: &str, bytes: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| run(target, bytes)) {
        let kept = std::env::temp_dir().join(format!("mail-smtp2-{target}-{}", std::process::id()));
        fs::write(&kept, bytes).unwrap();
        eprintln!("the input of {target} that fails: {}", kept.display());
        std::panic::resume_unwind(panic);
    }
}

fn hold(target: &str) {
    let soak = std::env::var_os("MAIL_SMTP2_SOAK").is_some();
    let seed = number("MAIL_SMTP2_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mutations = number("MAIL_SMTP2_FUZZ").unwrap_or(if soak { 50_000 } else { 3_000 });
    eprintln!("{target}: MAIL_SMTP2_SEED={seed}");
    let corpus = corpus(target);
    corpus.iter().for_each(|input| attempt(target, input));
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..mutations {
        attempt(target, &mutation(&mut random, &corpus));
    }
    eprintln!("{target}: {} inputs and {mutations} mutations of them", corpus.len());
}

macro_rules! replayed {
    ($($target:ident),* $(,)?) => {
        $(mod $target {
            #[test]
            fn every_input_and_mutation_is_as_it_has_to_be() {
                super::hold(stringify!($target));
            }
        })*

        #[test]
        fn every_target_has_a_test_a_corpus_and_a_program() {
            let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(targets, BTreeSet::from([$(stringify!($target).to_owned()),*]));
            let entries = fs::read_dir(folder().join("corpus")).unwrap();
            let folders: BTreeSet<String> =
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
            assert_eq!(targets, folders);
            let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
            let programs: BTreeSet<String> = manifest
                .lines()
                .filter_map(|line| line.strip_prefix("[[bin]] name = \"").or(line.strip_prefix("    { name = \"")))
                .filter_map(|rest| rest.split('"').next().map(str::to_owned))
                .collect();
            assert_eq!(targets, programs);
        }
    };
}

replayed!(
    framing, call, strict, admit, smtp_reply, services, exim, supervise, block, history, settings, intent,
    node,
);
