//! Calls of cargo in this workspace.

use std::{
    convert::Infallible,
    env,
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::toolchain;

/// The workspace's top folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies in the workspace's top folder")
}

/// A cargo command in the workspace, with the cargo that runs this task.
pub(crate) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    in_workspace(Command::new(cargo))
}

/// A cargo command in the workspace, with the cargo of the toolchain that
/// [`toolchain::choose`] named. It takes unstable options.
pub(crate) fn cargo_of(toolchain: &str) -> Command {
    let mut command = if toolchain::has_rustup() {
        let mut command = Command::new("rustup");
        command.args(["run", toolchain, "cargo"]);
        command
    } else {
        Command::new("cargo")
    };
    command.env("RUSTC_BOOTSTRAP", "1");
    in_workspace(command)
}

fn in_workspace(mut command: Command) -> Command {
    command.current_dir(root());
    // What cargo tells a program that it runs of that program's package:
    // build scripts that watch one of these would run again.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_"))
        {
            command.env_remove(name);
        }
    }
    command.env_remove("CARGO_MANIFEST_DIR");
    command.env_remove("CARGO_MANIFEST_PATH");
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let folder = env::var_os("CARGO_TARGET_DIR").filter(|path| !path.is_empty());
    root().join(folder.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// Runs the command with this process's output; its failure is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command
        .status()
        .with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Replaces this process by a program that was built, in the workspace's top folder: signals
/// and the exit status are its own.
pub(crate) fn replace(mut command: Command) -> Result<Infallible> {
    let error = command.current_dir(root()).exec();
    Err(error).with_context(|| format!("cannot run `{}`", line(&command)))
}

/// What the command writes to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .output()
        .with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed: {}: {}", output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote no UTF-8"))
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut line = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
