//! `mgctl env`: addresses as variables of a shell.

use serde_json::json;

use super::Context;
use super::session::{Session, mains};
use crate::args::{Env, EnvFormat};
use crate::cluster::Target;
use crate::error::{CliError, Exit};
use crate::ui::Ui;

pub(super) async fn run(context: &Context, args: &Env) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let main = session.main(&seen)?;
    let mains = mains(&seen);
    let names = session.topology.instances.iter().map(|i| &i.name).filter(|n| !mains.contains(n));
    // What does not run has no address.
    let replicas: Vec<Target> = names.filter_map(|n| session.target(&seen, n).ok()).collect();
    let uri = |t: &Target| format!("bolt://{}", t.bolt);
    let join = |texts: Vec<String>| texts.join(",");
    let variables: Vec<(&str, String)> = vec![
        ("BOLT_URI", uri(&main)),
        ("NEO4J_URI", uri(&main)),
        ("MG_HOST", main.bolt.host.clone()),
        ("MG_PORT", main.bolt.port.to_string()),
        ("MGCTL_MAIN", main.instance.clone()),
        ("MGCTL_REPLICAS", join(replicas.iter().map(|t| t.instance.clone()).collect())),
        ("MGCTL_REPLICA_URIS", join(replicas.iter().map(uri).collect())),
    ];
    let map: serde_json::Map<String, serde_json::Value> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let text = |_: &Ui| {
        let lines = variables.iter().map(|(name, value)| line(args.shell, name, value));
        lines.collect::<Vec<_>>().join("\n")
    };
    session.ui.result("Env", Some(session.cluster()), json!({ "variables": map }), &[], text);
    Ok(Exit::Ok)
}

/// Names in a topology are plain; quotes are only for what a shell would split.
fn line(format: EnvFormat, name: &str, value: &str) -> String {
    match format {
        EnvFormat::Sh => format!("export {name}='{value}'"),
        EnvFormat::Fish => format!("set -gx {name} '{value}'"),
        EnvFormat::Powershell => format!("$env:{name} = '{value}'"),
        EnvFormat::Dotenv => format!("{name}={value}"),
    }
}
