//! `mgctl up` of three nodes, beside what the engine itself needs for as much.
//!
//! The floor makes a network with its own subnet, three volumes and three containers of the same
//! image, all in parallel through the API, and waits until each published port takes a connection.
//! `mgctl up` does that too, and then sets roles, registers replicas, waits until they are ready,
//! loads the init file and proves that all nodes hold the same.

use crate::Samples;
use bollard::Docker;
use mg_tests::paths;
use serde_json::json;
use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const NODES: usize = 3;
const PORT_BASE: u16 = 27687;
/// A private range that Docker's own pools do not use.
const SUBNET: &str = "10.213.77.0/24";

pub(crate) fn run(rounds: usize) -> Result<(), Box<dyn Error>> {
    let mgctl = paths::mgctl();
    let loaded = Command::new(&mgctl).args(["image", "load"]).stderr(Stdio::inherit()).output()?;
    if !loaded.status.success() {
        return Err("`mgctl image load` failed; this benchmark needs a Docker engine".into());
    }
    let image = String::from_utf8(loaded.stdout)?.trim().to_owned();
    let dir = tempfile::tempdir()?;
    let topology = dir.path().join("bench.yaml");
    std::fs::write(
        &topology,
        format!(
            "name: bench-up\nports: {{ bolt_base: {PORT_BASE} }}\ninstances:\n  main: {{ role: main }}\n  \
             rep1: {{ role: replica, mode: SYNC }}\n  rep2: {{ role: replica, mode: ASYNC }}\n"
        ),
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let docker = Docker::connect_with_defaults()?;
    let (mut floor, mut up) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        runtime.block_on(clear(&docker))?;
        let start = Instant::now();
        let made = runtime.block_on(make(&docker, &image));
        let took = start.elapsed();
        runtime.block_on(clear(&docker))?;
        made?;
        floor.add_round(vec![took]);

        mgctl_quiet(&mgctl, &["down", "-v", "-y"], &topology)?;
        let start = Instant::now();
        mgctl_quiet(&mgctl, &["up"], &topology)?;
        up.add_round(vec![start.elapsed()]);
        mgctl_quiet(&mgctl, &["down", "-v", "-y"], &topology)?;
    }
    println!("| up of three nodes, image present | p50 µs | p99 µs | rounds | ratio to floor |");
    println!("|---|---|---|---|---|");
    println!("{}", floor.row("network + 3 volumes + 3 containers through the API", "1"));
    let ratio = up.p50().as_secs_f64() / floor.p50().as_secs_f64();
    println!("{}", up.row("`mgctl up`, to 0 behind and verified", &format!("{ratio:.2}")));
    Ok(())
}

fn mgctl_quiet(
    mgctl: &std::path::Path,
    args: &[&str],
    topology: &std::path::Path,
) -> Result<(), Box<dyn Error>> {
    let out =
        Command::new(mgctl).arg(args[0]).arg(topology).args(&args[1..]).stdin(Stdio::null()).output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("`mgctl {}` ended with {}: {}", args[0], out.status, String::from_utf8_lossy(&out.stderr))
        .into())
}

fn name(i: usize) -> String {
    format!("mgctl-bench-floor-{i}")
}

async fn make(docker: &Docker, image: &str) -> Result<(), Box<dyn Error>> {
    let network = json!({ "Name": name(0), "IPAM": { "Config": [{ "Subnet": SUBNET }] } });
    let volumes = async {
        for i in 0..NODES {
            docker
                .create_volume(serde_json::from_value::<bollard::models::VolumeCreateRequest>(
                    json!({ "Name": name(i) }),
                )?)
                .await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let networks = async {
        docker.create_network(serde_json::from_value(network)?).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    tokio::try_join!(volumes, networks)?;
    let containers = (0..NODES).map(|i| async move {
        let body = json!({
            "Image": image,
            "ExposedPorts": { "7687/tcp": {} },
            "HostConfig": {
                "Binds": [format!("{}:/data", name(i))],
                "PortBindings": { "7687/tcp": [{ "HostIp": "127.0.0.1", "HostPort": port(i).to_string() }] },
            },
            "NetworkingConfig": { "EndpointsConfig": {
                name(0): { "IPAMConfig": { "IPv4Address": format!("10.213.77.{}", 11 + i) } },
            } },
        });
        let options =
            bollard::query_parameters::CreateContainerOptionsBuilder::default().name(&name(i)).build();
        docker.create_container(Some(options), serde_json::from_value(body)?).await?;
        docker.start_container(&name(i), None).await?;
        let end = Instant::now() + Duration::from_secs(20);
        let address = SocketAddr::from(([127, 0, 0, 1], port(i)));
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if Instant::now() > end {
                return Err(format!("{address} took no connection within 20 s").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, Box<dyn Error>>(())
    });
    futures_util::future::try_join_all(containers).await?;
    Ok(())
}

fn port(i: usize) -> u16 {
    PORT_BASE + 100 + u16::try_from(i).expect("a few nodes")
}

/// Removes what a floor round made; what is not there is fine.
async fn clear(docker: &Docker) -> Result<(), Box<dyn Error>> {
    let missing = |e: &bollard::errors::Error| {
        matches!(e, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
    };
    let mut results = Vec::new();
    for i in 0..NODES {
        let options =
            bollard::query_parameters::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        results.push(docker.remove_container(&name(i), Some(options)).await);
        results.push(
            docker.remove_volume(&name(i), None::<bollard::query_parameters::RemoveVolumeOptions>).await,
        );
    }
    results.push(docker.remove_network(&name(0)).await);
    match results.into_iter().filter_map(Result::err).find(|e| !missing(e)) {
        Some(e) => Err(e.into()),
        None => Ok(()),
    }
}
