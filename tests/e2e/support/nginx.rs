//! An nginx of the test's own: one process, in the foreground, with everything it writes in a folder that goes away.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::eventually;

/// Where Debian and its kin put what this program loads; elsewhere it may be compiled in.
const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

const DAEMON: &str = "/usr/sbin/nginx";

pub(crate) struct Nginx {
    process: Child,
    pub(crate) folder: TempDir,
}

impl Nginx {
    /// One with this in its `http` block, that listens on this port. `{folder}` is where its files may be.
    pub(crate) fn http(port: u16, block: &str) -> Self {
        Self::start(port, |folder| {
            let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
                .concat();
            format!("http {{\n{paths}access_log off;\n{}\n}}\n", block.replace("{folder}", folder))
        })
    }

    /// One with this in its `stream` block.
    pub(crate) fn stream(port: u16, block: &str) -> Self {
        Self::start(port, |_| format!("stream {{\n{block}\n}}\n"))
    }

    fn start(port: u16, blocks: impl FnOnce(&str) -> String) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        let blocks = blocks(path);
        let module = if blocks.starts_with("stream") && Path::new(STREAM).exists() {
            format!("load_module {STREAM};\n")
        } else {
            String::new()
        };
        let config = format!(
            "{module}daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log stderr notice;\n\
             events {{ worker_connections 512; }}\n{blocks}"
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        // Not everybody's path has the folder for daemons.
        let program = if Path::new(DAEMON).exists() { DAEMON } else { "nginx" };
        let process = Command::new(program)
            .args(["-p", path, "-e", "stderr", "-c"])
            .arg(folder.path().join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("`nginx` did not start; `make tools` installs it");
        let mut nginx = Self { process, folder };
        eventually("nginx listens", Duration::from_secs(10), || {
            if let Some(status) = nginx.process.try_wait().unwrap() {
                panic!("nginx stopped with {status}:\n{}", nginx.log());
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        nginx
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
