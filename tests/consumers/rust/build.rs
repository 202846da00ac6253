//! The types that typify makes of every document below `schema/`, each in a module of its own.
//!
//! Answers for: `types.rs` in the build's folder, and in it a table of the documents by their path. Does not know: what
//! a document says. A document that typify does not take ends the build.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use typify::{TypeSpace, TypeSpaceSettings};

const SCHEMA: &str = "../../../schema";

fn main() {
    println!("cargo:rerun-if-changed={SCHEMA}");
    let (mut modules, mut table) = (String::new(), String::new());
    for folder in ["params", "payload", "draft-07/params", "draft-07/payload", ".", "draft-07"] {
        let entries = fs::read_dir(Path::new(SCHEMA).join(folder)).expect(folder);
        let mut files: Vec<_> = entries.map(|entry| entry.expect(folder).path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.is_file()) {
            let text = fs::read_to_string(file).expect("a document");
            let name = file.strip_prefix(SCHEMA).expect("below schema/").display().to_string();
            let name = name.trim_start_matches("./");
            if ["openrpc.json", "status-codes.json"].contains(&name) {
                continue;
            }
            let module = format!("m{}", table.lines().count());
            let (title, types) = types(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            writeln!(modules, "pub mod {module} {{ {types} }}").expect("a string");
            writeln!(table, "({name:?}, crate::again::<{module}::{title}>),").expect("a string");
        }
    }
    let table = format!("pub static TYPES: &[(&str, crate::Again)] = &[\n{table}];\n");
    let out = Path::new(&env::var_os("OUT_DIR").expect("a build's folder")).join("types.rs");
    fs::write(out, modules + &table).expect("the types");
}

/// The name of the document's type, and the source of all its types.
fn types(document: &str) -> Result<(String, String), Box<dyn std::error::Error>> {
    let schema: schemars::schema::RootSchema = serde_json::from_str(document)?;
    let title = schema.schema.metadata.as_ref().and_then(|about| about.title.clone()).ok_or("no title")?;
    let mut space = TypeSpace::new(&TypeSpaceSettings::default());
    space.add_root_schema(schema)?;
    Ok((title, space.to_stream().to_string()))
}
