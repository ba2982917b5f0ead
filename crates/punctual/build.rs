//! Turns docs/errors/*.md into the table that `commands::codes` includes: a code is a page, and the binary has them all.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let pages = Path::new(&here).join("../../docs/errors");
    println!("cargo::rerun-if-changed={}", pages.display());

    let mut files: Vec<_> = fs::read_dir(&pages)
        .expect("docs/errors is part of the repository")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md") && !path.ends_with("README.md"))
        .collect();
    files.sort();

    let mut table = String::from("&[\n");
    for file in files {
        let code = file.file_stem().expect("a page has a name").to_string_lossy().into_owned();
        writeln!(table, "    ({code:?}, include_str!({file:?})),").expect("writing to a string");
    }
    table.push_str("]\n");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("error_pages.rs"), table).expect("OUT_DIR can be written");
}
