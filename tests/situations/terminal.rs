//! A terminal in which the commands of one page are run, one after the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client;
use crate::page::fits;

const STEPGATE: &str = env!("CARGO_BIN_EXE_stepgate");
const PATIENCE: Duration = Duration::from_secs(15);

/// Who reads the commands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    /// The client of this test.
    Ours,
    /// `sh`, with whatever curl is installed.
    Posix,
}

pub(crate) fn has_curl() -> bool {
    Command::new("curl").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

pub(crate) struct Terminal {
    shell: Shell,
    /// Where it stands: the examples are here, and `stepgate` is on the path.
    folder: TempDir,
    variables: BTreeMap<String, String>,
    demo: Option<Child>,
    /// Addresses as the page has them, and as they are.
    addresses: Vec<(String, String)>,
}

/// Each on any port that is free.
const PORTS: [&str; 4] = ["--gate-port", "--idp-port", "--echo-port", "--admin-port"];

impl Terminal {
    pub(crate) fn new(shell: Shell) -> Self {
        let folder = TempDir::new().unwrap();
        symlink(crate::root().join("policies"), folder.path().join("policies")).unwrap();
        symlink(STEPGATE, folder.path().join("stepgate")).unwrap();
        Self { shell, folder, variables: BTreeMap::new(), demo: None, addresses: Vec::new() }
    }

    /// Runs a command; what it said, where that is not what is shown.
    pub(crate) fn run(&mut self, command: &str, shown: &str) -> Result<(), String> {
        if let Some(demo) = command.strip_prefix("stepgate demo ") {
            self.start(demo);
            return if fits(shown, "") { Ok(()) } else { Err(String::new()) };
        }
        if let Some((name, inner)) = assignment(command) {
            let value = self.output(inner);
            if !value.starts_with("eyJ") {
                return Err(format!("no token: {value}"));
            }
            self.variables.insert(name.to_owned(), value.trim_end().to_owned());
            return if fits(shown, "") { Ok(()) } else { Err(String::new()) };
        }
        let began = Instant::now();
        loop {
            let said = self.as_on_the_page(self.output(command).trim_end());
            // What the gate writes comes a moment after what it answers.
            let may_come = command.starts_with("tail ") && began.elapsed() < PATIENCE;
            if fits(shown, &said) {
                return Ok(());
            }
            if !may_come {
                return Err(said);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `stepgate demo … > FILE &`, on free ports.
    fn start(&mut self, rest: &str) {
        self.end();
        let (arguments, file) = rest.strip_suffix(" &").and_then(|rest| rest.split_once(" > ")).unwrap();
        let path = self.folder.path().join(file);
        let mut command = Command::new(STEPGATE);
        command.arg("demo").args(arguments.split(' ')).current_dir(self.folder.path());
        command.args(PORTS.iter().flat_map(|flag| [*flag, "0"]));
        let demo = command.stdout(File::create(&path).unwrap()).stderr(Stdio::null()).spawn().unwrap();
        self.demo = Some(demo);
        let began = Instant::now();
        let printed = loop {
            let printed = std::fs::read_to_string(&path).unwrap();
            if printed.contains("Ctrl-C ends the demo.") {
                break printed;
            }
            assert!(began.elapsed() < PATIENCE, "the demo does not start: {printed}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let after = |text: &str| {
            let address = printed.split_once(text).unwrap().1;
            address.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect::<String>()
        };
        let found =
            [("8080", "Stepgate demo: http://"), ("8081", "More tokens: http://"), ("9901", "readiness: http://")];
        self.addresses = found.map(|(port, text)| (format!("127.0.0.1:{port}"), after(text))).to_vec();
        self.wait_for_keys();
    }

    fn wait_for_keys(&self) {
        let admin = &self.addresses[2].1;
        let began = Instant::now();
        let ready = || Command::new(STEPGATE).args(["healthcheck", "--admin", admin]).output().unwrap();
        while !ready().status.success() {
            assert!(began.elapsed() < PATIENCE, "{:?}", ready());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn output(&self, command: &str) -> String {
        let command = self.addresses.iter().fold(command.to_owned(), |text, (page, real)| text.replace(page, real));
        match self.shell {
            Shell::Posix => {
                let path = format!("{}:{}", self.folder.path().display(), "/usr/local/bin:/usr/bin:/bin");
                let mut shell = Command::new("sh");
                shell.args(["-c", &command]).current_dir(self.folder.path()).env("PATH", path).envs(&self.variables);
                said_by(&mut shell)
            }
            Shell::Ours => {
                let words = client::words(&command, &self.variables);
                match words[0].as_str() {
                    "curl" => client::curl(&words[1..], self.folder.path()),
                    "stepgate" => said_by(Command::new(STEPGATE).args(&words[1..]).current_dir(self.folder.path())),
                    "tail" => self.tail(&words[1..]),
                    other => panic!("this test knows no `{other}`"),
                }
            }
        }
    }

    /// `tail -n NUMBER FILE`
    fn tail(&self, arguments: &[String]) -> String {
        let [flag, number, file] = arguments else { panic!("{arguments:?}") };
        assert_eq!(flag, "-n");
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len() - number.parse::<usize>().unwrap()..].join("\n")
    }

    fn as_on_the_page(&self, said: &str) -> String {
        // The ends of curl's lines.
        let said = said.replace('\r', "");
        let escaped = |address: &str| address.replace(':', "%3A");
        let on_page = |text: String, (page, real): &(String, String)| {
            text.replace(real, page).replace(&escaped(real), &escaped(page))
        };
        self.addresses.iter().fold(said, on_page)
    }

    fn end(&mut self) {
        if let Some(mut demo) = self.demo.take() {
            drop(demo.kill());
            drop(demo.wait());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.end();
    }
}

/// `NAME=$(command)`
fn assignment(command: &str) -> Option<(&str, &str)> {
    let (name, rest) = command.split_once("=$(")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    plain.then(|| rest.strip_suffix(')')).flatten().map(|inner| (name, inner))
}

/// Both streams: the pages show what a reader sees.
fn said_by(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}
