//! `mgctl uri`: addresses for drivers.

use serde_json::json;

use super::Context;
use super::session::{Session, mains};
use crate::args::Uri;
use crate::cluster::Target;
use crate::error::{CliError, Exit};
use crate::ui::Ui;

pub(super) async fn run(context: &Context, args: &Uri) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let seen = session.look_at_existing().await?;
    let targets: Vec<Target> = match args.which.as_str() {
        "replicas" => {
            let mains = mains(&seen);
            let names = session.topology.instances.iter().map(|i| &i.name).filter(|n| !mains.contains(n));
            names.filter_map(|n| session.target(&seen, n).ok()).collect()
        }
        which => super::query::targets(&session, &seen, which)?,
    };
    let uri = |t: &Target| format!("bolt://{}", t.bolt);
    let data = json!({ "uris": targets.iter().map(|t| json!({"node": t.instance, "uri": uri(t)})).collect::<Vec<_>>() });
    let text = |_: &Ui| targets.iter().map(uri).collect::<Vec<_>>().join("\n");
    session.ui.result("Uri", Some(session.cluster()), data, &[], text);
    Ok(Exit::Ok)
}
