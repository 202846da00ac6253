//! The types that typify makes of every document below `schema/`, each in a module of its own.
//!
//! It writes `types.rs` into the build's folder, with a table of the documents by their path. What a document says is
//! the plugin's. A document that typify does not take ends the build.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use typify::{TypeSpace, TypeSpaceSettings};

const SCHEMA: &str = "../../../schema";

/// The JSON there that is no schema.
const OTHERS: [&str; 3] = ["openrpc.json", "reasons.json", "status-codes.json"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={SCHEMA}");
    let (mut modules, mut table) = (String::new(), String::new());
    for (at, file) in documents(Path::new(SCHEMA))?.iter().enumerate() {
        let name = file.strip_prefix(SCHEMA)?.display();
        let (title, types) = types(&fs::read_to_string(file)?).map_err(|error| format!("{name}: {error}"))?;
        writeln!(modules, "pub mod m{at} {{ {types} }}")?;
        writeln!(table, "(\"{name}\", crate::again::<m{at}::{title}>),")?;
    }
    let table = format!("pub static TYPES: &[(&str, crate::Again)] = &[\n{table}];\n");
    let out = env::var_os("OUT_DIR").ok_or("a build has a folder")?;
    Ok(fs::write(Path::new(&out).join("types.rs"), modules + &table)?)
}

/// Every schema below this folder, in order.
fn documents(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(documents(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "json")
            && !OTHERS.iter().any(|other| path.ends_with(other))
        {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// The name of the document's type, and the source of all its types.
fn types(document: &str) -> Result<(String, String), Box<dyn Error>> {
    let schema: schemars::schema::RootSchema = serde_json::from_str(document)?;
    let title = schema.schema.metadata.as_ref().and_then(|about| about.title.clone()).ok_or("no title")?;
    let mut space = TypeSpace::new(&TypeSpaceSettings::default());
    space.add_root_schema(schema)?;
    Ok((title, space.to_stream().to_string()))
}
