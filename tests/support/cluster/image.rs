//! Images without a registry: otelgate's own, and others of one layer with a few files, written as the archive that
//! `docker save` writes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::kubectl::Outcome;
use super::programs::LEAVE_OUT;

/// A program that is linked statically, and can be many.
const BUSYBOX: &str = "/bin/busybox";

/// Otelgate's image, as `image/archive` writes it, from a program that is linked statically. `program` is the one that
/// cargo built for the tests: the other is in a target's folder beside its own.
///
/// # Errors
/// When it wasn't built, or is older than its sources: says what builds it.
pub fn otelgate(folder: &Path, program: &Path) -> Result<PathBuf, String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let targets = program.ancestors().nth(2).expect("cargo's own folders are above it");
    let linked = targets.join(&target).join("debug/otelgate");
    is_up_to_date(&linked).map_err(|fault| {
        format!(
            "{} {fault}: run RUSTFLAGS=\"-C target-feature=+crt-static\" cargo build --locked --bin otelgate --target \
             {target}, as tests/run does. {LEAVE_OUT}",
            linked.display()
        )
    })?;
    let archive = folder.join("otelgate.tar");
    let platform = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("image/archive"));
    let outcome = Outcome::of(command.args(["--platform", platform]).arg(&linked).arg(&archive), "");
    if outcome.success { Ok(archive) } else { Err(outcome.stderr) }
}

/// Cargo keeps a list of a program's sources beside it.
fn is_up_to_date(program: &Path) -> Result<(), String> {
    let written = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let built = written(program).map_err(|_| "isn't there".to_owned())?;
    let list = fs::read_to_string(program.with_extension("d")).map_err(|_| "has no list of its sources".to_owned())?;
    let (_, sources) = list.split_once(": ").unwrap_or_default();
    let newer = sources.split_whitespace().find(|source| written(Path::new(source)).is_ok_and(|time| time > built));
    newer.map_or(Ok(()), |source| Err(format!("is older than {source}")))
}

/// An image with one program in it, at `/bin/<its own name>`. Returns the archive.
///
/// # Errors
/// When the program isn't there, or the archive can't be written.
pub fn archive(folder: &Path, name: &str, program: &Path, entrypoint: &[&str]) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("an image of {}: {error}", program.display());
    let file_name = program.file_name().ok_or_else(|| format!("{} is no program", program.display()))?;
    let image = folder.join(name.replace(['/', ':'], "-"));
    let root = image.join("root");
    fs::create_dir_all(root.join("bin")).map_err(failed)?;
    let copy = root.join("bin").join(file_name);
    fs::copy(program, &copy).map_err(failed)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    tar(&image.join("layer.tar"), &root, &["bin"]);
    let layer = fs::read(image.join("layer.tar")).map_err(failed)?;
    let digest = Sha256::digest(&layer).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let config = json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"), "os": "linux",
        "config": {"Entrypoint": entrypoint}, "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(image.join("config.json"), config.to_string()).map_err(failed)?;
    fs::write(image.join("manifest.json"), manifest.to_string()).map_err(failed)?;
    let archive = image.with_extension("tar");
    tar(&archive, &image, &["manifest.json", "config.json", "layer.tar"]);
    Ok(archive)
}

/// An image of busybox, for pods that do next to nothing.
///
/// # Errors
/// When busybox isn't there.
pub fn busybox(folder: &Path, name: &str, entrypoint: &[&str]) -> Result<PathBuf, String> {
    if !Path::new(BUSYBOX).exists() {
        return Err(format!("{BUSYBOX} is missing; it is in the package busybox-static. {LEAVE_OUT}"));
    }
    archive(folder, name, Path::new(BUSYBOX), entrypoint)
}

#[track_caller]
fn tar(archive: &Path, folder: &Path, names: &[&str]) {
    let mut command = Command::new("tar");
    command.arg("--directory").arg(folder).args(["--owner=0", "--group=0", "--create", "--file"]).arg(archive);
    Outcome::of(command.args(names), "").expect("tar");
}
