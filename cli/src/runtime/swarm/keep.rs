//! What a swarm keeps for a cluster beside its services, and hands to every manager alike.
//!
//! | object | what it is | who gets it |
//! |---|---|---|
//! | config `VOLUME` | on which host that volume is | managers |
//! | config `mgctl-CLUSTER-ca` | the authority, its key too | managers |
//! | config `mgctl-CLUSTER-lock` | the claim of the mgctl that is at work | managers |
//! | secret `mgctl-CLUSTER-ca-cert` | the authority's certificate | the hosts of its nodes |
//! | secret `mgctl-CLUSTER-INSTANCE-tls-…` | a node's certificate and key | the host of that node |
//!
//! A config is given to a host only where a service of that host asks for it, and none asks for these. Who may ask a
//! manager for one may already do there whatever root may.

use super::super::docker::{
    CLUSTER, INSTANCE, MANAGED, absent_is_none, foreign, image, labels, labels_of, lock, owner_of,
};
use super::service::{self, HOST};
use super::{Swarm, call, gone, hosts, not_reached};
use crate::authority::{self, Authority, Certificate, demanded, seconds_left, seconds_now};
use crate::error::{CliError, Exit};
use crate::runtime::docker::engine::answer;
use crate::topology::{Instance, Topology};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bollard::models::{Config, ConfigSpec, SecretSpec};
use bollard::query_parameters::{ListConfigsOptions, ListSecretsOptions};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Label: what an object is for.
const KIND: &str = "dev.mgctl.kind";
const VOLUME: &str = "volume";
const AUTHORITY: &str = "authority";
const LEAF: &str = "leaf";
/// Label: until when a certificate is good, in seconds since 1970.
const ENDS: &str = "dev.mgctl.ends";
/// Label: what tells a certificate from others.
const PRINT: &str = "dev.mgctl.print";
/// Longest name of a config or a secret.
const NAME_MAX: usize = 64;

/// Where the volume of a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) config: String,
    pub(super) instance: String,
    /// The id of its host.
    pub(super) host: String,
}

/// A claim on a cluster of a swarm: the id of its config. By name it could be another's, made when this one had ended.
#[derive(Debug)]
#[must_use = "a claim that is not given back is in the way until it ends"]
pub struct Lock(String);

fn by_cluster(cluster: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{CLUSTER}={cluster}")])])
}

/// A name as it is where it fits, else one that stands for it.
fn object_name(name: &str) -> String {
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let digest: String = Sha256::digest(name).iter().take(16).map(|b| format!("{b:02x}")).collect();
    format!("mgctl-{digest}")
}

impl Swarm {
    async fn configs(&self, cluster: &str) -> Result<Vec<Config>, CliError> {
        let options = ListConfigsOptions { filters: Some(by_cluster(cluster)) };
        call("list its configs", self.docker.api.list_configs(Some(options))).await
    }

    /// Makes a config, and returns its id; `None` where one of that name is there.
    async fn create_config(
        &self,
        name: &str,
        labels: HashMap<String, String>,
        data: &str,
    ) -> Result<Option<String>, CliError> {
        let spec = ConfigSpec {
            name: Some(name.to_owned()),
            labels: Some(labels),
            data: Some(BASE64.encode(data)),
            templating: None,
        };
        let doing = format!("create config `{name}`");
        let made = call(&doing, async { Ok(self.docker.api.create_config(spec).await) }).await?;
        match made {
            Ok(made) => Ok(Some(made.id)),
            Err(error) if answer(&error).is_some_and(|(status, _)| status == 409) => Ok(None),
            Err(error) => Err(crate::runtime::docker::engine::translate(&doing, &error)),
        }
    }

    async fn config(&self, name: &str) -> Result<Option<Config>, CliError> {
        call(&format!("read config `{name}`"), absent_is_none(self.docker.api.inspect_config(name))).await
    }

    pub(super) async fn remove_config(&self, name: &str) -> Result<(), CliError> {
        call(&format!("remove config `{name}`"), absent_is_none(self.docker.api.delete_config(name)))
            .await
            .map(|_| ())
    }

    /// Returns where the volumes of a cluster are, by their names, and whether it has an authority.
    pub(super) async fn kept(&self, cluster: &str) -> Result<(BTreeMap<String, Place>, bool), CliError> {
        let (mut places, mut has_authority) = (BTreeMap::new(), false);
        for config in self.configs(cluster).await? {
            let spec = config.spec.unwrap_or_default();
            let labels = spec.labels.unwrap_or_default();
            match labels.get(KIND).map(String::as_str) {
                Some(VOLUME) => {
                    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
                    let place = Place {
                        config: spec.name.unwrap_or_default(),
                        instance: label(INSTANCE),
                        host: label(HOST),
                    };
                    let data = spec.data.and_then(|text| BASE64.decode(text).ok());
                    let volume = data.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
                    places.insert(volume, place);
                }
                Some(AUTHORITY) => has_authority = true,
                _ => {}
            }
        }
        Ok((places, has_authority))
    }

    /// Keeps on which host a node's volume is to be made.
    pub(super) async fn keep_place(
        &self,
        topology: &Topology,
        instance: &Instance,
        host: &str,
    ) -> Result<(), CliError> {
        let volume = instance.volume().expect("the rules of a swarm refuse folders");
        let mut labels = labels_of(topology, instance);
        labels.insert(KIND.to_owned(), VOLUME.to_owned());
        labels.insert(HOST.to_owned(), host.to_owned());
        let name = object_name(volume);
        if self.create_config(&name, labels, volume).await?.is_some() {
            return Ok(());
        }
        self.must_be_own(&topology.name, &name).await
    }

    async fn must_be_own(&self, cluster: &str, name: &str) -> Result<(), CliError> {
        let found = self.config(name).await?.and_then(|c| c.spec?.labels);
        match found.as_ref().and_then(|l| l.get(CLUSTER)) {
            Some(owner) if owner == cluster => Ok(()),
            _ => Err(foreign("config", name, &owner_of(found.as_ref(), None))),
        }
    }

    /// Reads the authority, or makes it.
    pub(super) async fn authority(&self, topology: &Topology) -> Result<Arc<Authority>, CliError> {
        let mut known = self.authorities.lock().await;
        if let Some(authority) = known.get(&topology.name) {
            return Ok(authority.clone());
        }
        let name = object_name(&topology.authority_volume());
        let mut own = labels(topology);
        own.insert(KIND.to_owned(), AUTHORITY.to_owned());
        let found = match self.config(&name).await? {
            Some(found) => Some(found),
            None => {
                let made = Authority::make(&topology.name)?;
                let text = format!("{}{}", made.certificate(), made.key());
                // Made by another meanwhile, theirs counts.
                self.create_config(&name, own.clone(), &text).await?;
                self.config(&name).await?
            }
        };
        self.must_be_own(&topology.name, &name).await?;
        let damaged = || {
            CliError::new(Exit::Other, "the authority of the cluster cannot be read")
                .code("MG085")
                .thing(format!("config `{name}`, cluster `{}`", topology.name))
        };
        let data = found.and_then(|c| BASE64.decode(c.spec?.data?).ok()).ok_or_else(damaged)?;
        let text = String::from_utf8(data).map_err(|_| damaged())?;
        // The certificate first, then the key.
        let at = text.rfind("-----BEGIN").filter(|at| *at > 0).ok_or_else(damaged)?;
        let authority = Arc::new(Authority::read(&topology.name, &text[..at], &text[at..])?);
        known.insert(topology.name.clone(), authority.clone());
        Ok(authority)
    }

    /// Makes a secret, unless it is there. Returns its id.
    async fn secret(
        &self,
        name: &str,
        labels: HashMap<String, String>,
        data: &str,
    ) -> Result<String, CliError> {
        let cluster = labels.get(CLUSTER).cloned();
        let spec = SecretSpec {
            name: Some(name.to_owned()),
            labels: Some(labels),
            data: Some(BASE64.encode(data)),
            ..SecretSpec::default()
        };
        let doing = format!("create secret `{name}`");
        match call(&doing, async { Ok(self.docker.api.create_secret(spec).await) }).await? {
            Ok(made) => return Ok(made.id),
            Err(error) if answer(&error).is_some_and(|(status, _)| status == 409) => {}
            Err(error) => return Err(crate::runtime::docker::engine::translate(&doing, &error)),
        }
        let found = call(&format!("read secret `{name}`"), self.docker.api.inspect_secret(name)).await?;
        let labels = found.spec.and_then(|s| s.labels);
        if labels.as_ref().and_then(|l| l.get(CLUSTER)) != cluster.as_ref() {
            return Err(foreign("secret", name, &owner_of(labels.as_ref(), None)));
        }
        Ok(found.id.unwrap_or_default())
    }

    /// Gives a node a certificate and the authority's. One that runs is started anew with them, and waited for: one
    /// node after the other. One whose host is not heard of is left as it is.
    pub(super) async fn issue_certificate(
        &self,
        topology: &Topology,
        name: &str,
    ) -> Result<String, CliError> {
        let _one_at_a_time = self.placing.lock().await;
        let instance = topology.instance(name).ok_or_else(|| gone(&topology.name, name))?;
        let seen = self.see(&topology.name, Some(name)).await?;
        let (known, before) = seen.services.get(name).ok_or_else(|| gone(&topology.name, name))?;
        if known.is_wanted && !seen.is_ready(&known.host) {
            return Err(not_reached(&topology.name, name, &hosts::shown(&seen.hosts, &known.host)));
        }
        let leaf = match &topology.tls_files {
            Some(files) => demanded(files, topology, name)?,
            None => self.authority(topology).await?.issue(name)?,
        };
        let left = seconds_left(&leaf.certificate).unwrap_or(0);
        let mut own = labels(topology);
        own.insert(KIND.to_owned(), AUTHORITY.to_owned());
        // Of another authority than the one before it is another secret.
        let print = |text: &str| -> String {
            Sha256::digest(text).iter().take(4).map(|b| format!("{b:02x}")).collect()
        };
        let ca_name =
            object_name(&format!("{}-cert-{}", topology.authority_volume(), print(&leaf.authority)));
        let ca = self.secret(&ca_name, own, &leaf.authority).await?;
        let mut own = labels_of(topology, instance);
        own.insert(KIND.to_owned(), LEAF.to_owned());
        let ends = i64::try_from(seconds_now()).unwrap_or(0) + left;
        own.insert(ENDS.to_owned(), ends.to_string());
        own.insert(PRINT.to_owned(), authority::print(&leaf.certificate, &leaf.authority));
        let leaf_name =
            object_name(&format!("mgctl-{}-{name}-tls-{}", topology.name, print(&leaf.certificate)));
        let text = format!("{}\n{}", leaf.certificate.trim_end(), leaf.key);
        let leaf_id = self.secret(&leaf_name, own, &text).await?;
        let secrets = service::secrets((&leaf_id, &leaf_name), (&ca, &ca_name), image::NODE_UID);
        let known = self
            .update(&topology.name, name, |spec| {
                if let Some(container) = spec.task_template.as_mut().and_then(|t| t.container_spec.as_mut()) {
                    container.secrets = Some(secrets.clone());
                }
            })
            .await?;
        if known.is_wanted {
            self.await_running(topology, name, before, Some(&leaf_name)).await?;
        }
        self.remove_leaves(&topology.name, name, Some(&leaf_name)).await?;
        Ok(format!("certificate for {} days", left / 86_400))
    }

    /// Removes the certificates that were issued to a node, but for one.
    pub(super) async fn remove_leaves(
        &self,
        cluster: &str,
        instance: &str,
        but: Option<&str>,
    ) -> Result<(), CliError> {
        for (name, labels) in self.secrets(cluster).await? {
            let is_of_node = labels.get(INSTANCE).is_some_and(|i| i == instance);
            if is_of_node && labels.get(KIND).is_some_and(|k| k == LEAF) && Some(name.as_str()) != but {
                self.remove_secret(&name).await?;
            }
        }
        Ok(())
    }

    /// Removes the authority.
    pub(super) async fn remove_authority(&self, cluster: &str, volume: &str) -> Result<(), CliError> {
        for (name, labels) in self.secrets(cluster).await? {
            if labels.get(KIND).is_some_and(|k| k == AUTHORITY) {
                self.remove_secret(&name).await?;
            }
        }
        self.remove_config(&object_name(volume)).await
    }

    async fn remove_secret(&self, name: &str) -> Result<(), CliError> {
        call(&format!("remove secret `{name}`"), absent_is_none(self.docker.api.delete_secret(name)))
            .await
            .map(|_| ())
    }

    async fn secrets(&self, cluster: &str) -> Result<Vec<(String, HashMap<String, String>)>, CliError> {
        let options = ListSecretsOptions { filters: Some(by_cluster(cluster)) };
        let found = call("list its secrets", self.docker.api.list_secrets(Some(options))).await?;
        let of = |s: bollard::models::Secret| {
            let spec = s.spec?;
            Some((spec.name?, spec.labels.unwrap_or_default()))
        };
        Ok(found.into_iter().filter_map(of).collect())
    }

    /// Returns the certificates that nodes were given, by the name of their secret.
    pub(super) async fn certificates_given(
        &self,
        cluster: &str,
    ) -> Result<BTreeMap<String, Certificate>, CliError> {
        let now = i64::try_from(seconds_now()).unwrap_or(0);
        let left = |(name, labels): (String, HashMap<String, String>)| {
            let seconds_left = labels.get(ENDS)?.parse::<i64>().ok()? - now;
            // One that an earlier mgctl gave has none, and is not the one of any file.
            let print = labels.get(PRINT).cloned().unwrap_or_default();
            Some((name, Certificate { seconds_left, print }))
        };
        Ok(self.secrets(cluster).await?.into_iter().filter_map(left).collect())
    }

    /// Claims a cluster for at most `time_max`, against every mgctl that speaks to any manager.
    pub async fn lock(&self, cluster: &str, time_max: Duration) -> Result<Lock, CliError> {
        let name = object_name(&format!("mgctl-{cluster}-lock"));
        for attempt in 0..2 {
            let mut labels = lock::labels(cluster, time_max);
            labels.insert(MANAGED.to_owned(), "true".to_owned());
            if let Some(id) = self.create_config(&name, labels, "claim").await? {
                return Ok(Lock(id));
            }
            let Some(held) = self.config(&name).await? else { continue };
            let labels = held.spec.and_then(|s| s.labels).unwrap_or_default();
            let Some((holder, is_over)) = lock::holder(&labels) else {
                return Err(foreign("config", &name, &owner_of(Some(&labels), None)));
            };
            if !is_over || attempt > 0 {
                return Err(lock::held(
                    cluster,
                    &format!("config `{name}`"),
                    &holder,
                    &format!("docker config rm {name}"),
                ));
            }
            self.remove_config(&held.id.unwrap_or_default()).await?;
        }
        Err(lock::contended(cluster))
    }

    /// Gives a claim back.
    pub async fn unlock(&self, lock: Lock) -> Result<(), CliError> {
        self.remove_config(&lock.0).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::docker::stand_in::StandIn;

    #[tokio::test]
    async fn a_claim_is_given_back_by_its_id() {
        let engine = StandIn::start(vec![
            ("POST /configs/create", r#"{"ID":"id-of-mine"}"#),
            ("DELETE /configs/id-of-mine", ""),
        ])
        .await;
        let swarm = Swarm::at(engine.docker());
        let lock = swarm.lock("demo", Duration::from_secs(60)).await.unwrap();
        swarm.unlock(lock).await.unwrap();
        assert_eq!(engine.heard(), ["POST /configs/create", "DELETE /configs/id-of-mine"]);
    }

    #[test]
    fn a_name_that_is_too_long_is_stood_for_by_another() {
        let long = format!("mgctl-{}-{}-data", "c".repeat(25), "i".repeat(31));
        assert_eq!(object_name("mgctl-demo-main-data"), "mgctl-demo-main-data");
        let name = object_name(&long);
        assert!(name.len() <= NAME_MAX && name.starts_with("mgctl-") && name == object_name(&long), "{name}");
        assert_ne!(name, object_name(&format!("{long}x")));
    }
}
