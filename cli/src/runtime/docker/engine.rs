//! Which engine to talk to, and what its errors mean.
//!
//! The order is that of the docker command: `--host`, `DOCKER_HOST`, the context that is named or current,
//! the usual sockets of Docker and of those that speak like it.

use crate::error::{CliError, Exit};
use bollard::Docker;
use bollard::errors::Error;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an engine may take to say who it is.
const HELLO_TIME_MAX: Duration = Duration::from_secs(4);

/// How long any other call may take.
pub(in crate::runtime) const CALL_TIME_MAX: Duration = Duration::from_secs(60);

/// Where an engine is, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) url: String,
    pub(super) said_by: String,
}

/// Finds the engine's address. `context` is the one that a topology names; `home` and `variable` are this user's; `exists` looks for sockets.
pub(super) fn find(
    host: Option<&str>,
    context: Option<&str>,
    home: Option<&Path>,
    variable: &dyn Fn(&str) -> Option<String>,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<Address, CliError> {
    let address = |url: &str, said_by: &str| Address { url: url.to_owned(), said_by: said_by.to_owned() };
    if let Some(host) = host {
        return Ok(address(host, "--host"));
    }
    let set = |name: &str| variable(name).filter(|v| !v.is_empty());
    let folder = set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| home.map(|h| h.join(".docker")));
    let of_file = context.map(|name| (name.to_owned(), "--context, or `context` of the topology"));
    if let (None | Some("default"), Some(host)) = (context, set("DOCKER_HOST")) {
        return Ok(address(&host, "DOCKER_HOST"));
    }
    if let Some(folder) = &folder {
        let named = || set("DOCKER_CONTEXT").map(|name| (name, "DOCKER_CONTEXT"));
        let current = || current_context(folder).map(|name| (name, "the current docker context"));
        let named = of_file.or_else(named).or_else(current);
        if let Some((name, said_by)) = named.filter(|(name, _)| name != "default") {
            let url = context_host(folder, &name).ok_or_else(|| {
                CliError::new(Exit::Engine, format!("docker context `{name}` cannot be read"))
                    .code("MG061")
                    .thing(format!("named by {said_by}, looked for below `{}`", folder.display()))
                    .help("choose another: docker context ls; docker context use default")
            })?;
            return Ok(address(&url, &format!("context `{name}`")));
        }
    }
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(run) = set("XDG_RUNTIME_DIR").map(PathBuf::from) {
        sockets.extend([run.join("docker.sock"), run.join("podman/podman.sock")]);
    }
    sockets.push(PathBuf::from("/run/podman/podman.sock"));
    if let Some(home) = home {
        for below in [
            ".docker/run/docker.sock",
            ".colima/default/docker.sock",
            ".rd/docker.sock",
            ".orbstack/run/docker.sock",
        ] {
            sockets.push(home.join(below));
        }
    }
    match sockets.iter().find(|s| exists(s)) {
        Some(socket) => Ok(address(&format!("unix://{}", socket.display()), "default")),
        None => Err(CliError::new(Exit::Engine, "no container engine is found")
            .code("MG061")
            .note(format!(
                "looked for {}",
                sockets.iter().map(|s| s.display().to_string()).collect::<Vec<_>>().join(", ")
            ))
            .help(ADVICE)),
    }
}

const ADVICE: &str =
    "start Docker, or name an engine with --host or DOCKER_HOST, or go without: --runtime process";

fn current_context(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("config.json")).ok()?;
    let config: Value = serde_json::from_str(&text).ok()?;
    config.get("currentContext")?.as_str().map(str::to_owned)
}

fn context_host(folder: &Path, name: &str) -> Option<String> {
    let digest = Sha256::digest(name.as_bytes());
    let id: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    let text = std::fs::read_to_string(folder.join("contexts/meta").join(id).join("meta.json")).ok()?;
    let meta: Value = serde_json::from_str(&text).ok()?;
    meta.get("Endpoints")?.get("docker")?.get("Host")?.as_str().map(str::to_owned)
}

/// Connects, and has the engine say its version.
pub(super) async fn connect(address: &Address) -> Result<(Docker, String), CliError> {
    let url = &address.url;
    let seconds = CALL_TIME_MAX.as_secs();
    let made = match url.split_once("://") {
        Some(("unix", path)) => {
            let path = Path::new(path);
            if !path.exists() {
                return Err(unreachable(address, "no such socket"));
            }
            Docker::connect_with_unix(&path.to_string_lossy(), seconds, bollard::API_DEFAULT_VERSION)
        }
        Some(("tcp" | "http", _)) if std::env::var_os("DOCKER_TLS_VERIFY").is_none_or(|v| v.is_empty()) => {
            Docker::connect_with_http(url, seconds, bollard::API_DEFAULT_VERSION)
        }
        #[cfg(windows)]
        Some(("npipe", _)) => Docker::connect_with_named_pipe(url, seconds, bollard::API_DEFAULT_VERSION),
        _ => {
            return Err(unreachable(address, "mgctl speaks to engines at unix:// and at tcp:// without TLS")
                .help("an engine elsewhere is reached through ssh: ssh -L /tmp/engine.sock:/var/run/docker.sock HOST, then --host unix:///tmp/engine.sock"));
        }
    };
    let api = made.map_err(|error| unreachable(address, &error.to_string()))?;
    let hello = async {
        let api = api.negotiate_version().await?;
        let version = api.version().await?;
        Ok::<_, Error>((api, version))
    };
    match tokio::time::timeout(HELLO_TIME_MAX, hello).await {
        Err(_) => Err(unreachable(address, &format!("no answer within {}s", HELLO_TIME_MAX.as_secs()))),
        Ok(Err(error)) => Err(unreachable(address, &reason(&error))),
        Ok(Ok((api, version))) => Ok((api, version.version.unwrap_or_else(|| "of unknown version".into()))),
    }
}

fn unreachable(address: &Address, why: &str) -> CliError {
    let error = CliError::new(Exit::Engine, format!("the container engine does not answer: {why}"))
        .code("MG061")
        .thing(format!("`{}`, from {}", address.url, address.said_by));
    match why.to_ascii_lowercase().contains("permission denied") {
        true => {
            error.help("this user may not use the engine: sudo usermod -aG docker $USER, then log in again")
        }
        false => error.help(ADVICE),
    }
}

/// The innermost cause: the layers above it only repeat that something failed.
fn reason(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

/// Waits for a call to the engine, and puts what goes wrong into words. `doing` is as in "create network `n`".
pub(in crate::runtime) async fn call<T>(
    doing: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, CliError> {
    call_within(CALL_TIME_MAX, doing, work).await
}

/// As [`call`], for what may take longer.
pub(in crate::runtime) async fn call_within<T>(
    time_max: Duration,
    doing: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, CliError> {
    match tokio::time::timeout(time_max, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(translate(doing, &error)),
        Err(_) => Err(too_slow(doing, time_max)),
    }
}

fn too_slow(doing: &str, time_max: Duration) -> CliError {
    CliError::new(Exit::TimedOut, format!("the engine did not {doing} within {}s", time_max.as_secs()))
        .code("MG076")
        .note("whether it still will is not known")
        .help("look at the engine, then run the command again: it goes on from what is there")
}

/// The status code, and the message as the engine wrote it.
pub(in crate::runtime) fn answer(error: &Error) -> Option<(u16, &str)> {
    match error {
        Error::DockerResponseServerError { status_code, message } => Some((*status_code, message)),
        _ => None,
    }
}

/// Puts an engine's error into words: by its status code first, by its text second.
pub(in crate::runtime) fn translate(doing: &str, error: &Error) -> CliError {
    let Some((status, message)) = answer(error) else {
        if matches!(error, Error::RequestTimeoutError) {
            return too_slow(doing, CALL_TIME_MAX);
        }
        // Pulling, pushing and loading answer 200 and tell within the answer what went wrong.
        if let Error::DockerStreamError { error } = error {
            return CliError::new(Exit::Other, format!("the engine could not {doing}: {error}"))
                .code("MG060");
        }
        return CliError::new(Exit::Engine, format!("the engine could not {doing}: {}", reason(error)))
            .code("MG061")
            .note("the connection to it failed; what was done before stays")
            .help("see that the engine runs, then run the command again: it goes on from what is there");
    };
    let has = |part: &str| message.contains(part);
    let failed = |exit| CliError::new(exit, format!("the engine could not {doing}: {message}"));
    if has("Pool overlaps") || has("overlaps with other one") {
        return failed(Exit::Conflict)
            .code("MG021")
            .help("set `network.subnet` to a range that is free, or leave it out");
    }
    if has("all predefined address pools") {
        return failed(Exit::Conflict)
            .code("MG021")
            .help("remove networks that are not used: docker network prune");
    }
    if has("networks with user configured subnets") {
        return failed(Exit::Conflict)
            .code("MG020")
            .help("leave `ip` out, or set `network.subnet` to a range that holds it");
    }
    if has("Address already in use")
        || has("does not belong to any of this network")
        || has("no configured subnet or ip-range contain")
    {
        return failed(Exit::Conflict)
            .code("MG020")
            .help("leave `ip` out, or choose one that is free in the cluster's network");
    }
    if has("bind source path does not exist") {
        return failed(Exit::Usage)
            .code("MG038")
            .help("make that folder on the machine of the engine, for user 10001 where it is for data");
    }
    if has("no log driver named") || has("unknown log opt") {
        return failed(Exit::Usage).code("MG038").help("see `logging`: docker info lists the drivers");
    }
    if has("not a swarm manager") {
        return failed(Exit::Usage)
            .code("MG092")
            .help("an overlay network needs a swarm: docker swarm init; or `network.driver: bridge`");
    }
    if has("port is already allocated") || has("bind: address already in use") {
        return failed(Exit::Conflict).code("MG019").help("set `ports.bolt`, or `ports.strategy: auto`");
    }
    if has("OCI runtime") || has("failed to create shim") || has("failed to create task") {
        return failed(Exit::Degraded)
            .code("MG063")
            .help("the image does not start on this engine; see `mgctl logs`");
    }
    if has("is ambiguous") {
        return failed(Exit::Conflict)
            .code("MG064")
            .help("docker network ls shows two of that name: remove the one that nothing uses, by its id");
    }
    if has("No such image") {
        return failed(Exit::Engine)
            .code("MG062")
            .help("bring it there: docker pull IMAGE; or use `pull: missing`");
    }
    if has("client version") && (has("is too new") || has("is too old")) {
        return failed(Exit::Engine).code("MG061").help("use an engine, or a mgctl, of about the same age");
    }
    if has("volume is in use") || has("has active endpoints") {
        return failed(Exit::Conflict).code("MG077").help("something else uses it: see `docker ps -a`");
    }
    match status {
        404 => failed(Exit::NotFound).code("MG065").help("`mgctl up` makes what is missing"),
        409 => failed(Exit::Conflict)
            .code("MG064")
            .help("see `docker ps -a`; `mgctl status` shows what is mgctl's"),
        500.. => failed(Exit::Other).code("MG060").help("see the engine's own log"),
        _ => failed(Exit::Other).code("MG060"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(
        host: Option<&str>,
        context: Option<&str>,
        variables: &[(&str, &str)],
        home: &Path,
        sockets: &[&str],
    ) -> Result<Address, CliError> {
        find(
            host,
            context,
            Some(home),
            &|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned()),
            &|path| sockets.iter().any(|s| Path::new(s) == path),
        )
    }

    #[test]
    fn the_flag_comes_before_the_variable_before_the_context_before_the_sockets() {
        let home = tempfile::tempdir().unwrap();
        let meta = home
            .path()
            .join(".docker/contexts/meta/fe9c6bd7a66301f49ca9b6a70b217107cd1284598bfc254700c989b916da791e");
        std::fs::create_dir_all(&meta).unwrap();
        let digest: String = Sha256::digest(b"far").iter().map(|b| format!("{b:02x}")).collect();
        let meta = meta.parent().unwrap().join(digest);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(meta.join("meta.json"), r#"{"Endpoints":{"docker":{"Host":"tcp://far:2375"}}}"#)
            .unwrap();
        let sockets = ["/var/run/docker.sock"];
        let of = |context, variables: &[(&str, &str)]| {
            found(None, context, variables, home.path(), &sockets).map(|a| a.url)
        };
        let url = |host, variables: &[(&str, &str)]| {
            found(host, None, variables, home.path(), &sockets).map(|a| a.url)
        };

        assert_eq!(url(None, &[]).unwrap(), "unix:///var/run/docker.sock");
        std::fs::write(home.path().join(".docker/config.json"), r#"{"currentContext":"far"}"#).unwrap();
        assert_eq!(url(None, &[]).unwrap(), "tcp://far:2375");
        assert_eq!(url(None, &[("DOCKER_CONTEXT", "default")]).unwrap(), "unix:///var/run/docker.sock");
        assert_eq!(url(None, &[("DOCKER_CONTEXT", "gone")]).unwrap_err().exit(), Exit::Engine);
        assert_eq!(url(None, &[("DOCKER_HOST", "unix:///x")]).unwrap(), "unix:///x");
        assert_eq!(url(Some("unix:///y"), &[("DOCKER_HOST", "unix:///x")]).unwrap(), "unix:///y");

        // What a topology names stands over the environment; `default` is what is left without contexts.
        assert_eq!(of(Some("far"), &[("DOCKER_HOST", "unix:///x")]).unwrap(), "tcp://far:2375");
        assert_eq!(of(Some("default"), &[]).unwrap(), "unix:///var/run/docker.sock");
        assert_eq!(of(Some("default"), &[("DOCKER_HOST", "unix:///x")]).unwrap(), "unix:///x");
        let gone = found(None, Some("gone"), &[], home.path(), &sockets).unwrap_err();
        assert!(gone.to_string().contains("named by --context, or `context` of the topology"), "{gone}");
    }

    #[test]
    fn no_socket_is_exit_3_and_names_where_it_looked() {
        let home = tempfile::tempdir().unwrap();
        let error = found(None, None, &[], home.path(), &[]).unwrap_err();
        assert_eq!(error.exit(), Exit::Engine);
        assert!(error.to_string().contains("/var/run/docker.sock"));
    }

    #[test]
    fn what_is_told_within_an_answer_is_no_lost_connection() {
        let error = Error::DockerStreamError { error: "unauthorized".into() };
        let error = translate("push image `x`", &error);
        assert_eq!((error.problem().code, error.exit()), (Some("MG060"), Exit::Other));
        assert!(error.to_string().contains("unauthorized") && !error.to_string().contains("connection"));
    }

    #[test]
    fn daemon_errors_have_codes_and_next_steps() {
        let cases = [
            (
                500,
                "driver failed programming external connectivity on endpoint n: Bind for 127.0.0.1:17687 failed: port is already allocated",
                "MG019",
                Exit::Conflict,
            ),
            (403, "Pool overlaps with other one on this address space", "MG021", Exit::Conflict),
            (403, "Address already in use", "MG020", Exit::Conflict),
            (
                500,
                "Error starting userland proxy: listen tcp4 127.0.0.1:17687: bind: address already in use",
                "MG019",
                Exit::Conflict,
            ),
            (
                404,
                "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the \
                 network: all predefined address pools have been fully subnetted",
                "MG021",
                Exit::Conflict,
            ),
            (
                400,
                "user specified IP address is supported only when connecting to networks with user configured subnets",
                "MG020",
                Exit::Conflict,
            ),
            (
                403,
                "Invalid address 10.9.9.9: It does not belong to any of this network's subnets",
                "MG020",
                Exit::Conflict,
            ),
            (
                400,
                "invalid IP address 10.9.9.9 for network: no configured subnet or ip-range contain the IP address",
                "MG020",
                Exit::Conflict,
            ),
            (400, "network x is ambiguous (2 matches found on name)", "MG064", Exit::Conflict),
            (404, "No such image: nope:1", "MG062", Exit::Engine),
            (
                400,
                "client version 1.53 is too new. Maximum supported API version is 1.41",
                "MG061",
                Exit::Engine,
            ),
            (
                403,
                "error while removing network: network x id 88 has active endpoints",
                "MG077",
                Exit::Conflict,
            ),
            (400, "OCI runtime create failed: stat /nope: no such file", "MG063", Exit::Degraded),
            (
                400,
                "invalid mount config for type \"bind\": bind source path does not exist: /x",
                "MG038",
                Exit::Usage,
            ),
            (400, "logger: no log driver named 'x' is registered", "MG038", Exit::Usage),
            (503, "This node is not a swarm manager.", "MG092", Exit::Usage),
            (409, "volume is in use - [abc]", "MG077", Exit::Conflict),
            (
                409,
                "Conflict. The container name \"/x\" is already in use by container \"id\".",
                "MG064",
                Exit::Conflict,
            ),
            (404, "No such container: x", "MG065", Exit::NotFound),
            (500, "something new", "MG060", Exit::Other),
        ];
        for (status_code, message, code, exit) in cases {
            let error = Error::DockerResponseServerError { status_code, message: message.into() };
            let error = translate("start `x`", &error);
            assert_eq!((error.problem().code, error.exit()), (Some(code), exit), "{message}");
            let said = error.to_string();
            assert!(said.contains(message) && (code == "MG060" || said.contains("\nhelp: ")), "{said}");
        }
    }
}
