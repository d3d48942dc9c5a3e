//! PostgreSQL 15 with one streaming replica on loopback, as a peer to be measured against.
//!
//! Both servers sync (`fsync` is on), the primary waits for `remote_apply`; `pgbench` sends prepared
//! INSERTs of a string of 80 bytes over TCP. Their files lie in a temporary folder, and where the
//! benchmark runs as root the servers run as an ordinary user, as they insist.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const BINARIES: &str = "/usr/lib/postgresql/15/bin";

/// A running primary and its replica.
pub(crate) struct Postgres {
    binaries: PathBuf,
    user: Option<(u32, u32)>,
    dir: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts both; `None` where PostgreSQL 15 is not installed.
    pub(crate) fn start() -> Result<Option<Postgres>, Box<dyn Error>> {
        let binaries = PathBuf::from(BINARIES);
        if !binaries.join("postgres").exists() || !binaries.join("pgbench").exists() {
            return Ok(None);
        }
        let dir = tempfile::tempdir()?;
        let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
        let user = if is_root { Some(ordinary_user()?) } else { None };
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid))?;
        }
        let (port, replica_port) = (free_port()?, free_port()?);
        let postgres = Postgres { binaries, user, dir, port };
        let (primary, replica) = (postgres.path("primary"), postgres.path("replica"));
        postgres.run("initdb", &["-A", "trust", "-U", "postgres", "-D", &primary])?;
        let settings = format!(
            "listen_addresses='127.0.0.1'\nport={port}\nunix_socket_directories='{}'\nshared_buffers=256MB\n\
             max_connections=200\nmax_wal_senders=4\nwal_keep_size=1GB\nmax_wal_size=4GB\n\
             checkpoint_timeout=30min\nhot_standby=on\nfsync=on\nsynchronous_standby_names='*'\n\
             synchronous_commit=local\n",
            postgres.dir.path().display()
        );
        append(&Path::new(&primary).join("postgresql.conf"), &settings)?;
        let log = postgres.path("primary.log");
        postgres.run("pg_ctl", &["-D", &primary, "-l", &log, "-w", "start"])?;
        let at = port.to_string();
        postgres.run(
            "pg_basebackup",
            &["-h", "127.0.0.1", "-p", &at, "-U", "postgres", "-D", &replica, "-R", "-X", "stream"],
        )?;
        append(&Path::new(&replica).join("postgresql.conf"), &format!("port={replica_port}\n"))?;
        let log = postgres.path("replica.log");
        postgres.run("pg_ctl", &["-D", &replica, "-l", &log, "-w", "start"])?;
        postgres.psql("create table w(id bigserial primary key, s text)")?;
        append(&postgres.dir.path().join("insert.sql"), "insert into w(s) values (repeat('x',80));\n")?;
        mg_tests::wait::until(
            "the replica of PostgreSQL streams",
            std::time::Duration::from_secs(20),
            || {
                let rows =
                    postgres.psql("select sync_state from pg_stat_replication").map_err(|e| e.to_string())?;
                if rows.trim() == "sync" { Ok(()) } else { Err(format!("it says {rows:?}")) }
            },
        );
        Ok(Some(postgres))
    }

    /// Returns commits a second of `clients`, each durable and applied on both, over some seconds.
    pub(crate) fn remote_apply(&self, clients: usize, seconds: usize) -> Result<f64, Box<dyn Error>> {
        let (port, script) = (self.port.to_string(), self.path("insert.sql"));
        let (clients, seconds) = (clients.to_string(), seconds.to_string());
        let output = self
            .command("pgbench")
            .env("PGOPTIONS", "-c synchronous_commit=remote_apply")
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-n", "-M", "prepared"])
            .args(["-f", &script, "-c", &clients, "-j", "2", "-T", &seconds, "postgres"])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
    }

    fn psql(&self, query: &str) -> Result<String, Box<dyn Error>> {
        let port = self.port.to_string();
        self.run("psql", &["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-Atqc", query])
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.gid(gid).uid(uid);
        }
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<String, Box<dyn Error>> {
        // A server that stays would keep a pipe open, so what is said goes to files.
        let (out, err) = (self.dir.path().join("said"), self.dir.path().join("complained"));
        let status = self
            .command(program)
            .args(args)
            .stdout(std::fs::File::create(&out)?)
            .stderr(std::fs::File::create(&err)?)
            .status()?;
        if !status.success() {
            return Err(format!("{program} ended with {status}: {}", std::fs::read_to_string(&err)?).into());
        }
        Ok(std::fs::read_to_string(&out)?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        for name in ["replica", "primary"] {
            let path = self.path(name);
            // One that did not start has nothing to stop.
            let _ = self.run("pg_ctl", &["-D", &path, "-m", "immediate", "-w", "stop"]);
        }
    }
}

/// Returns the user that PostgreSQL's package made, else nobody.
fn ordinary_user() -> Result<(u32, u32), Box<dyn Error>> {
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).ok_or_else(|| "no user to run PostgreSQL as".into())
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}
