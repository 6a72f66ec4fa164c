//! Questions to the person at the terminal.

use anyhow::ensure;
use std::io::{IsTerminal, Write};

/// Says what is at stake and asks whether to go on. An error, which names the option `otherwise`, where nobody can be asked.
pub(crate) fn agrees(what: &str, question: &str, otherwise: &str) -> anyhow::Result<bool> {
    let input = std::io::stdin();
    ensure!(input.is_terminal(), "{what}; give {otherwise} where nobody can be asked");
    let mut err = std::io::stderr().lock();
    write!(err, "{what}\n{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
