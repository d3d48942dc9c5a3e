//! `mgctl dump`: the graph as Cypher, to a file or to standard output.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::Context;
use super::session::{Session, on_ctrl_c};
use super::transfer::{Out, Pace, ToStatements, connect, name_of, warnings};
use crate::args::Dump;
use crate::error::{CliError, Exit};
use crate::graph::{archive, read};
use crate::ui::Ui;

/// Lines to standard output, or to a file that gets its name when it is whole.
enum Lines {
    Standard(Ui),
    File { file: std::io::BufWriter<std::fs::File>, partial: Partial },
}

/// A file that is removed unless it is kept.
struct Partial {
    path: std::path::PathBuf,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Where it was kept it has another name already. What cannot be removed is only in the way.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Out for Lines {
    async fn statement(&mut self, text: String) -> Result<(), CliError> {
        match self {
            Lines::Standard(ui) => {
                ui.print(&format!("{text};"));
                match ui.is_closed() {
                    // The reader went away; `finish` tells a full disk apart.
                    true => Err(CliError::new(Exit::Other, "nobody reads the dump any more")),
                    false => Ok(()),
                }
            }
            Lines::File { file, partial } => {
                writeln!(file, "{text};").map_err(|e| unwritable(&partial.path, &e))
            }
        }
    }
}

pub(super) async fn run(context: &Context, args: &Dump) -> Result<Exit, CliError> {
    let path = args.path.as_deref().filter(|p| *p != Path::new("-"));
    if path.is_none() && !context.ui.is_for_people() {
        return Err(CliError::new(Exit::Usage, "the dump itself is the result: it has no envelope")
            .help(format!("name a file for it: {} dump FILE -o json", context.program)));
    }
    if let Some(path) = path {
        archive::refuse_existing(path)?;
    }
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let [target] = <[_; 1]>::try_from(super::query::targets(&session, &seen, &args.on)?).map_err(|_| {
        CliError::new(Exit::Usage, "a dump is of one node").help("--on main, --on replica, or its name")
    })?;
    let began = Instant::now();
    let mut client = connect(&session, &target).await?;
    let out = match path {
        None => Lines::Standard(context.ui.clone()),
        Some(path) => {
            let mut partial = path.as_os_str().to_owned();
            partial.push(".partial");
            let partial = Partial { path: partial.into() };
            let mut options = std::fs::File::options();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            // The data of a graph are not for everybody.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&partial.path).map_err(|e| unwritable(&partial.path, &e))?;
            Lines::File { file: std::io::BufWriter::with_capacity(1 << 20, file), partial }
        }
    };
    let mut pace = Pace::new(session.ui.step("dump", &target.instance), on_ctrl_c(&session.ui));
    let dumped = async {
        let mut sink = ToStatements::new(out, &mut pace);
        let read = read::read(&mut client, &name_of(&target), &mut sink).await?;
        Ok::<_, CliError>((sink.finish().await?, read))
    };
    let (out, read) = match dumped.await {
        Ok(done) => done,
        Err(error) => {
            pace.failed(&error);
            // Whoever closed standard output had what he wanted.
            return if context.ui.is_closed() { Ok(Exit::Ok) } else { Err(error) };
        }
    };
    client.close().await;
    pace.done(&read.digest.to_string());
    let left_out = warnings(&read.schema);
    let (Lines::File { file, partial }, Some(path)) = (out, path) else {
        left_out.iter().for_each(|warning| session.ui.problem(warning));
        return Ok(Exit::Ok);
    };
    let failed = |e: &std::io::Error| unwritable(path, e);
    let file = file.into_inner().map_err(|e| failed(e.error()))?;
    file.sync_all().map_err(|e| failed(&e))?;
    let bytes = file.metadata().map_err(|e| failed(&e))?.len();
    archive::refuse_existing(path)?;
    std::fs::rename(&partial.path, path).map_err(|e| failed(&e))?;
    let seconds = (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let data = json!({
        "file": path.display().to_string(), "node": target.instance, "vertices": read.digest.vertices,
        "edges": read.digest.edges, "digest": read.digest.text(), "bytes": bytes, "seconds": seconds,
        "left_out": read.schema.left_out,
    });
    let text = |_: &Ui| format!("Wrote {}: {}, {bytes} bytes ({seconds:.1}s)", path.display(), read.digest);
    session.ui.result("Dump", Some(session.cluster()), data, &left_out, text);
    Ok(Exit::Ok)
}

fn unwritable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Exit::Other, format!("cannot write `{}`: {error}", path.display())).code("MG078")
}
