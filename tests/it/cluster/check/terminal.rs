//! A real terminal, of some width, and what is written to none.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{self, OpenptFlags};
use rustix::termios::{self, Winsize};

use super::{OTELGATE, admin, otelgate};
use crate::control_plane::ControlPlane;

pub fn tables_fit(plane: &ControlPlane) {
    for command in ["check", "status"] {
        for columns in [80, 200] {
            let text = in_terminal(plane, columns, &[command], &[]);
            assert!(text.contains("\u{1b}["), "{command}: no colours on a terminal: {text}");
            let plain = in_terminal(plane, columns, &[command], &[("NO_COLOR", "1")]);
            assert!(!plain.contains('\u{1b}'), "{command}: colours with NO_COLOR: {plain}");
            for line in plain.lines() {
                assert!(line.chars().count() <= usize::from(columns), "{command}: wider than {columns}: {line}");
            }
        }
        let piped = otelgate(plane, &admin(plane), &[command]).expect(command);
        assert!(!piped.contains('\u{1b}') && !piped.contains('…'), "{piped}");
        for format in ["json", "yaml"] {
            let text = in_terminal(plane, 40, &[command, "-o", format], &[]);
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }
}

/// What a program writes to a terminal.
fn in_terminal(plane: &ControlPlane, columns: u16, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let ours = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    pty::grantpt(&ours).expect("a terminal");
    pty::unlockpt(&ours).expect("a terminal");
    let name = pty::ptsname(&ours, Vec::new()).expect("a terminal's name");
    let theirs =
        rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("a terminal");
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    termios::tcsetwinsize(&theirs, size).expect("a terminal has a size");
    let mut command = Command::new(OTELGATE);
    command.args(arguments).env("KUBECONFIG", admin(plane)).env("TERM", "xterm-256color");
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.envs(environment.iter().copied());
    let theirs = File::from(theirs);
    command.stdin(Stdio::null()).stdout(theirs.try_clone().expect("a descriptor")).stderr(theirs);
    let mut child = plane.network().inside(|| command.spawn()).expect("otelgate");
    // Its ends of the terminal, which this process still has.
    drop(command);
    let mut text = String::new();
    // The last writer's end shows as an error.
    let mut ours = File::from(ours);
    let mut bytes = Vec::new();
    let _ = ours.read_to_end(&mut bytes);
    text.push_str(&String::from_utf8_lossy(&bytes));
    child.wait().expect("it was started here");
    text.replace("\r\n", "\n")
}
