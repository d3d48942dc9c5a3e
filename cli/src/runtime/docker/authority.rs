//! Where an engine keeps a cluster's authority, and how its nodes get their certificates.
//!
//! The authority is in a volume of its own, which no running container ever has: it is reached through a container
//! that is made for that, never started, and removed. A node's certificate and key lie in its data volume, below
//! `tls`, for its user alone; they are copied there before the node starts, and into a running one to renew them.

use super::engine::call;
use super::{CLUSTER, Docker, MANAGED, absent_is_none, foreign, gone, image, owner_of};
use crate::authority::{Authority, Certificate, demanded, seconds_left};
use crate::cluster::container_name;
use crate::error::{CliError, Exit};
use crate::topology::Topology;
use crate::words::count;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptions, RemoveContainerOptions, UploadToContainerOptions,
};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

/// Where the volume is in the container that reaches it.
const FOLDER: &str = "/ca";
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";

/// Where a node's data volume is, and its certificate in it.
const DATA: &str = "/data";
const LEAF: &str = "/data/tls/node.crt";
const LEAF_AUTHORITY: &str = "/data/tls/ca.crt";

/// Returns the name of the volume that holds a cluster's authority.
pub(super) fn volume(cluster: &str) -> String {
    format!("mgctl-{cluster}-ca")
}

/// Flags that tell a node where its certificates are.
pub(super) fn flags() -> [String; 3] {
    [
        format!("--cluster-cert-file={LEAF}"),
        "--cluster-key-file=/data/tls/node.key".to_owned(),
        format!("--cluster-ca-file={LEAF_AUTHORITY}"),
    ]
}

/// A file of an archive: its path, who may read it, whose it is.
struct Member<'a> {
    path: &'a str,
    mode: u32,
    owner: u64,
    /// `None`: a folder.
    content: Option<&'a str>,
}

impl Docker {
    /// Makes the authority where there is none.
    pub(super) async fn create_authority(&self, topology: &Topology) -> Result<String, CliError> {
        self.authority(topology).await?;
        Ok(format!("in volume {}", topology.authority_volume()))
    }

    /// Gives a node a certificate and the authority's.
    pub(super) async fn issue_certificate(
        &self,
        topology: &Topology,
        instance: &str,
    ) -> Result<String, CliError> {
        let leaf = match &topology.tls_files {
            Some(files) => demanded(files, topology, instance)?,
            None => self.authority(topology).await?.issue(instance)?,
        };
        let found = self.own(&topology.name, instance).await?;
        let id = found.and_then(|c| c.id).ok_or_else(|| gone(&topology.name, instance))?;
        let owner = image::NODE_UID;
        let file = |path, content| Member { path, mode: 0o400, owner, content: Some(content) };
        let members = [
            Member { path: "tls", mode: 0o700, owner, content: None },
            file("tls/node.crt", leaf.certificate.as_str()),
            file("tls/node.key", leaf.key.as_str()),
            file("tls/ca.crt", leaf.authority.as_str()),
        ];
        self.upload(&id, DATA, &members).await?;
        let days = seconds_left(&leaf.certificate).unwrap_or(0) / 86_400;
        Ok(format!("certificate for {}", count(days, "day")))
    }

    /// Returns the certificates of these nodes, without those that have none.
    pub(super) async fn certificates_of(
        &self,
        cluster: &str,
        instances: impl Iterator<Item = &String>,
    ) -> Result<BTreeMap<String, Certificate>, CliError> {
        let found = instances.map(|instance| async move {
            let container = container_name(cluster, instance);
            let (leaf, authority) =
                tokio::try_join!(self.download(&container, LEAF), self.download(&container, LEAF_AUTHORITY))?;
            // One that cannot be read is none: the node is given another.
            let read = leaf.zip(authority).and_then(|(leaf, authority)| Certificate::read(&leaf, &authority));
            Ok::<_, CliError>(read.map(|certificate| (instance.clone(), certificate)))
        });
        Ok(try_join_all(found).await?.into_iter().flatten().collect())
    }

    /// Reads the authority, or makes it.
    async fn authority(&self, topology: &Topology) -> Result<Arc<Authority>, CliError> {
        let mut known = self.authorities.lock().await;
        if let Some(authority) = known.get(&topology.name) {
            return Ok(authority.clone());
        }
        let volume = topology.authority_volume();
        let request = VolumeCreateRequest {
            name: Some(volume.clone()),
            labels: Some(super::labels(topology)),
            ..VolumeCreateRequest::default()
        };
        let made = call(&format!("create volume `{volume}`"), self.api.create_volume(request)).await?;
        // An engine answers with the volume that is there, whosever it is.
        if made.labels.get(CLUSTER).is_none_or(|c| *c != topology.name) {
            return Err(foreign("volume", &volume, &owner_of(Some(&made.labels), None)));
        }
        let id = self.reach(topology, &volume).await?;
        let authority = self.open(&id, &topology.name).await;
        let removed = self.remove_helper(&id).await;
        let authority = Arc::new(authority?);
        removed?;
        known.insert(topology.name.clone(), authority.clone());
        Ok(authority)
    }

    async fn open(&self, id: &str, cluster: &str) -> Result<Authority, CliError> {
        let path = |name: &str| format!("{FOLDER}/{name}");
        let certificate = self.download(id, &path(CERTIFICATE)).await?;
        let key = self.download(id, &path(KEY)).await?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Authority::read(cluster, &certificate, &key),
            // The certificate is written first: without a key nothing was ever issued.
            (_, None) => {
                let made = Authority::make(cluster)?;
                let key = made.key();
                let member = |path, content| Member { path, mode: 0o400, owner: 0, content: Some(content) };
                let members = [member(CERTIFICATE, made.certificate()), member(KEY, key.as_str())];
                self.upload(id, FOLDER, &members).await?;
                Ok(made)
            }
            (None, Some(_)) => Err(CliError::new(
                Exit::Other,
                "the authority of the cluster is not usable: its certificate is missing, and its key is there",
            )
            .code("MG085")
            .thing(format!("cluster `{cluster}`"))),
        }
    }

    /// Makes a container that has the volume, and is never started. Returns its id.
    async fn reach(&self, topology: &Topology, volume: &str) -> Result<String, CliError> {
        // No instance can have this name: theirs have no underscores.
        let name = format!("mgctl-{}_ca", topology.name);
        if let Some(left) = self.inspect(&name).await? {
            let labels = left.config.as_ref().and_then(|c| c.labels.as_ref());
            if labels.and_then(|l| l.get(CLUSTER)) != Some(&topology.name) {
                return Err(foreign("container", &name, &owner_of(labels, None)));
            }
            self.remove_helper(left.id.as_deref().unwrap_or(&name)).await?;
        }
        let body = ContainerCreateBody {
            image: Some(self.image_name(&topology.main().image).await?),
            labels: Some(HashMap::from([
                (MANAGED.to_owned(), "true".to_owned()),
                (CLUSTER.to_owned(), topology.name.clone()),
            ])),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                mounts: Some(vec![Mount {
                    target: Some(FOLDER.to_owned()),
                    source: Some(volume.to_owned()),
                    typ: Some(MountType::VOLUME),
                    ..Mount::default()
                }]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options =
            CreateContainerOptions { name: Some(name.clone()), ..CreateContainerOptions::default() };
        let made = self.api.create_container(Some(options), body);
        Ok(call(&format!("create container `{name}`"), made).await?.id)
    }

    async fn remove_helper(&self, id: &str) -> Result<(), CliError> {
        let options = RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() };
        let removed = absent_is_none(self.api.remove_container(id, Some(options)));
        call("remove the container that reached the authority", removed).await.map(|_| ())
    }

    async fn upload(&self, container: &str, folder: &str, members: &[Member<'_>]) -> Result<(), CliError> {
        let mut archive = tar::Builder::new(Vec::new());
        for member in members {
            let content = member.content.unwrap_or_default().as_bytes();
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(match member.content {
                Some(_) => tar::EntryType::Regular,
                None => tar::EntryType::Directory,
            });
            header.set_mode(member.mode);
            header.set_uid(member.owner);
            header.set_gid(member.owner);
            header.set_mtime(crate::authority::seconds_now());
            header.set_size(content.len() as u64);
            archive
                .append_data(&mut header, member.path, content)
                .expect("memory takes every write, and the paths are short");
        }
        let archive = archive.into_inner().expect("memory takes every write");
        let options =
            UploadToContainerOptions { path: folder.to_owned(), ..UploadToContainerOptions::default() };
        let doing = format!("copy certificates to `{folder}`");
        call(
            &doing,
            self.api.upload_to_container(container, Some(options), bollard::body_full(archive.into())),
        )
        .await
    }

    /// Reads a file of a container, `None` where there is none.
    async fn download(&self, container: &str, path: &str) -> Result<Option<String>, CliError> {
        let doing = format!("read `{path}`");
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let read = async {
            let pieces = self.api.download_from_container(container, Some(options));
            pieces
                .try_fold(Vec::new(), |mut all, piece| async move {
                    all.extend_from_slice(&piece);
                    Ok(all)
                })
                .await
        };
        let Some(archive) = call(&doing, absent_is_none(read)).await? else { return Ok(None) };
        let fail = |e: &dyn std::fmt::Display| {
            CliError::new(Exit::Engine, format!("the engine could not {doing}: {e}")).code("MG060")
        };
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entries = archive.entries().map_err(|e| fail(&e))?;
        let mut entry = entries.next().ok_or_else(|| fail(&"an empty answer"))?.map_err(|e| fail(&e))?;
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(|e| fail(&e))?;
        Ok(Some(text))
    }
}
