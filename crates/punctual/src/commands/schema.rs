//! `punctual schema`: the format of definitions, for editors and for the reference.

use punctual_core::spec;
use std::io::Write;
use std::process::ExitCode;

/// Print the format of definitions as JSON Schema, for editors
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the reference page (Markdown) instead
    #[arg(long)]
    reference: bool,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let text = match args.reference {
        true => spec::reference(),
        false => format!("{:#}\n", spec::json_schema()),
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use punctual_core::spec;

    /// Write it anew with `punctual schema --reference > docs/reference/definitions.md`.
    #[test]
    fn the_reference_in_the_documents_is_the_one_of_the_table() {
        let page = include_str!("../../../../docs/reference/definitions.md");
        assert!(
            page == spec::reference(),
            "docs/reference/definitions.md is not what `schema --reference` prints"
        );
    }
}
