//! The image that `image/archive` writes, read back, and the Dockerfile's, which has to be the same.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const X86_64: u16 = 62;
const RISC_V: u16 = 243;
const AARCH64: u16 = 183;
/// Beside bash: coreutils, tar and gzip.
const TOOLS: [&str; 14] =
    ["chmod", "cp", "dirname", "gzip", "head", "mkdir", "mktemp", "mv", "od", "rm", "sha256sum", "tar", "tr", "wc"];

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// A program for Linux that ends with 42 and needs nothing: an ELF file with one part, which `kind` says what to do with.
fn program(machine: u16, kind: u32) -> Vec<u8> {
    let code = [0xb8, 60, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 0x05];
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2_u16, machine].map(u16::to_le_bytes).concat());
    file.extend(1_u32.to_le_bytes());
    file.extend([0x40_0078_u64, 64, 0].map(u64::to_le_bytes).concat());
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 56, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    file.extend([kind, 5].map(u32::to_le_bytes).concat());
    let size = 120 + code.len() as u64;
    file.extend([0, 0x40_0000, 0x40_0000, size, size, 0x1000].map(u64::to_le_bytes).concat());
    file.extend(code);
    file
}

/// Runs `image/archive` in a shell that finds nothing but what it may use.
fn archive(folder: &Path, arguments: &[&str], umask: &str) -> Output {
    let tools = folder.join("tools");
    if !tools.exists() {
        fs::create_dir(&tools).unwrap();
        for tool in TOOLS.iter().chain(&["bash"]) {
            let path = std::env::var_os("PATH").unwrap();
            let found = std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|path| path.exists());
            symlink(found.expect(tool), tools.join(tool)).unwrap();
        }
    }
    let script = format!("umask {umask}; exec bash \"$0\" \"$@\"");
    Command::new(tools.join("bash"))
        .args(["-c", &script])
        .arg(root().join("image/archive"))
        .args(arguments)
        .current_dir(folder)
        .env("PATH", tools)
        .output()
        .unwrap()
}

fn archived(folder: &Path, arguments: &[&str], umask: &str) -> String {
    let output = archive(folder, arguments, umask);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// What a descriptor leads to, which has to be what it says.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().expect("a digest");
    let bytes = fs::read(layout.join("blobs").join(digest.replace(':', "/"))).expect("a blob");
    assert_eq!(sha256(&bytes), digest);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn the_archive_holds_the_program_and_nothing_else() {
    for (platform, machine) in [("amd64", X86_64), ("arm64", AARCH64)] {
        let folder = TempDir::new().unwrap();
        let folder = folder.path();
        fs::write(folder.join("program"), program(machine, 1)).unwrap();
        let said = archived(folder, &["--platform", &format!("linux/{platform}"), "program", "image.tar"], "077");
        let layout = folder.join("layout");
        fs::create_dir(&layout).unwrap();
        run("tar", &["-xf", "image.tar", "-C", "layout"], folder);
        assert_eq!(json_of(&fs::read(layout.join("oci-layout")).unwrap()), json!({"imageLayoutVersion": "1.0.0"}));

        let index = json_of(&fs::read(layout.join("index.json")).unwrap());
        let [descriptor] = &index["manifests"].as_array().unwrap()[..] else { panic!("one image") };
        let name = format!("otelgate:{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(descriptor["annotations"]["org.opencontainers.image.ref.name"], name.as_str());
        assert_eq!(descriptor["annotations"]["io.containerd.image.name"], format!("docker.io/library/{name}"));
        assert_eq!(descriptor["platform"], json!({"architecture": platform, "os": "linux"}));
        assert_eq!(said.trim(), format!("{name} {}", descriptor["digest"].as_str().unwrap()));

        let manifest = json_of(&blob(&layout, descriptor));
        let config = json_of(&blob(&layout, &manifest["config"]));
        assert_eq!((&config["architecture"], &config["os"]), (&json!(platform), &json!("linux")));
        assert_eq!(config["config"]["Entrypoint"], json!(["/otelgate"]));
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.description"], env!("CARGO_PKG_DESCRIPTION"));

        let [layer] = &manifest["layers"].as_array().unwrap()[..] else { panic!("one layer") };
        fs::write(folder.join("layer.tar.gz"), blob(&layout, layer)).unwrap();
        let layer = run("gzip", &["-dc", "layer.tar.gz"], folder);
        assert_eq!(config["rootfs"]["diff_ids"], json!([sha256(&layer)]));
        fs::write(folder.join("layer.tar"), layer).unwrap();
        let listing = String::from_utf8(run("tar", &["--numeric-owner", "-tvf", "layer.tar"], folder)).unwrap();
        let [line] = &listing.lines().collect::<Vec<_>>()[..] else { panic!("one file: {listing}") };
        assert!(line.starts_with("-rwxr-xr-x 0/0 ") && line.ends_with(" otelgate"), "{line}");
        run("tar", &["-xf", "layer.tar"], folder);
        assert_eq!(fs::read(folder.join("otelgate")).unwrap(), program(machine, 1));

        // As `docker save` has it.
        let docker = json_of(&fs::read(layout.join("manifest.json")).unwrap());
        assert_eq!(docker[0]["RepoTags"], json!([name]));
        for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
            assert!(layout.join(path.as_str().unwrap()).exists(), "{path}");
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_program_of_these_tests_is_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("program");
    fs::write(&path, program(X86_64, 1)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(Command::new(path).status().unwrap().code(), Some(42));
}

#[test]
fn the_same_program_gives_the_same_bytes() {
    let archived_from = |name: &str, umask: &str, mode: u32| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, program(X86_64, 1)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(mode))).unwrap();
        archived(folder.path(), &[name, "image.tar"], umask);
        fs::read(folder.path().join("image.tar")).unwrap()
    };
    assert!(archived_from("one", "022", 0o600) == archived_from("another", "077", 0o755));
}

#[test]
fn what_would_not_run_is_refused() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("program"), program(X86_64, 1)).unwrap();
    fs::write(folder.join("elsewhere"), program(RISC_V, 1)).unwrap();
    fs::write(folder.join("dynamic"), program(X86_64, 3)).unwrap();
    fs::write(folder.join("script"), "#!/bin/sh\n").unwrap();
    for (arguments, said) in [
        (&["absent", "image.tar"][..], "absent isn't there; build it: "),
        (&["script", "image.tar"], "script is no program for Linux"),
        (&["dynamic", "image.tar"], "dynamic isn't linked statically; build it with "),
        (&["--platform=linux/arm64", "program", "image.tar"], "program is for linux/amd64, not for linux/arm64"),
        (&["elsewhere", "image.tar"], "elsewhere is for another platform, not for linux/amd64"),
        (&["--platform", "windows/amd64", "program", "image.tar"], "linux/amd64 and linux/arm64 are the platforms"),
        (&["program"], "usage: "),
    ] {
        let output = archive(folder, arguments, "022");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(said), "{arguments:?}: {error}");
        assert!(!folder.join("image.tar").exists(), "{arguments:?} left an archive");
    }
}

#[test]
fn the_dockerfile_makes_the_same_image() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", "");
    let (_, last) = dockerfile.rsplit_once("\nFROM ").expect("stages");
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("program"), program(X86_64, 1)).unwrap();
    archived(folder.path(), &["program", "image.tar"], "022");
    run("tar", &["-xf", "image.tar"], folder.path());
    let docker = json_of(&fs::read(folder.path().join("manifest.json")).unwrap());
    let config = json_of(&fs::read(folder.path().join(docker[0]["Config"].as_str().unwrap())).unwrap());
    let config = &config["config"];
    let mut lines = last.lines();
    assert_eq!(lines.next(), Some("scratch"));
    for expected in [
        "COPY --from=build --chmod=0755 /otelgate /otelgate".to_owned(),
        format!("WORKDIR {}", config["WorkingDir"].as_str().unwrap()),
        format!("USER {}", config["User"].as_str().unwrap()),
        format!("ENTRYPOINT {}", config["Entrypoint"]),
    ] {
        assert!(last.lines().any(|line| line == expected), "{expected} in {last}");
    }
    let variables = config["Env"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>();
    assert!(last.lines().any(|line| line == format!("ENV {}", variables.join(" "))), "{variables:?} in {last}");
    let labels = config["Labels"].as_object().unwrap();
    for (key, value) in labels {
        assert!(last.contains(&format!("{key}={value}")), "{key} in {last}");
    }
    assert_eq!(last.matches("org.opencontainers.image.").count(), labels.len());
    // The toolchain is the one that the repository is built with.
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.split('"').nth(1).expect("a channel");
    assert!(dockerfile.contains(&format!("FROM rust:{channel}-")), "{channel}");
}
