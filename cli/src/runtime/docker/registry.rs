//! Names for the built-in image, and the way to a registry.

use super::engine::{call, call_within};
use super::{Docker, PULL_TIME_MAX, split_tag};
use crate::error::{CliError, Exit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{PushImageOptions, TagImageOptions};
use futures_util::StreamExt;
use serde_json::Value;
use std::path::PathBuf;

/// The registry of names without one, as `docker login` calls it.
const HUB: &str = "https://index.docker.io/v1/";

impl Docker {
    /// Gives the built-in image, which is loaded, another name, and returns it with its tag.
    pub async fn tag_built_in(&self, name: &str) -> Result<String, CliError> {
        let (repository, tag) = name_and_tag(name)?;
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        let id = self.built_in().await?.tag.clone();
        call(&format!("tag the image as {repository}:{tag}"), self.api.tag_image(&id, Some(options))).await?;
        Ok(format!("{repository}:{tag}"))
    }

    /// Pushes an image to the registry of its name, and returns its digest there.
    pub async fn push(&self, name: &str, say: &dyn Fn(&str)) -> Result<String, CliError> {
        let (repository, tag) = split_tag(name);
        let credentials = credentials(registry_of(repository))?;
        let options = PushImageOptions { tag: Some(tag.to_owned()), platform: None };
        let doing = format!("push image {name}");
        let mut digest = None;
        let pushed = call_within(PULL_TIME_MAX, &doing, async {
            let mut answers = std::pin::pin!(self.api.push_image(repository, Some(options), credentials));
            while let Some(answer) = answers.next().await {
                if let Some(status) = answer?.status {
                    // "1.0: digest: sha256:... size: 527"
                    if let Some((_, rest)) = status.split_once("digest: ") {
                        digest = rest.split_whitespace().next().map(str::to_owned);
                    } else {
                        say(&status);
                    }
                }
            }
            Ok(())
        });
        pushed.await.map_err(|error| {
            error.code("MG062").help(format!(
                "see that the engine reaches `{0}` and that you may push there: docker login {0}",
                registry_of(repository)
            ))
        })?;
        digest.ok_or_else(|| {
            CliError::new(Exit::Degraded, format!("the engine does not say that {name} was pushed"))
                .code("MG062")
        })
    }
}

/// Takes a name apart that an image can be given; without a tag it is `latest`.
///
/// # Errors
/// The name of a digest.
pub fn name_and_tag(name: &str) -> Result<(&str, &str), CliError> {
    match split_tag(name) {
        (_, "") => {
            Err(CliError::new(Exit::Usage, format!("`{name}` names a digest: an image is given a tag"))
                .help("write NAME:TAG"))
        }
        parts => Ok(parts),
    }
}

/// The registry that a repository's name begins with.
fn registry_of(repository: &str) -> &str {
    match repository.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => HUB,
    }
}

fn credentials(registry: &str) -> Result<Option<DockerCredentials>, CliError> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    let Some(text) = folder.and_then(|f| std::fs::read_to_string(f.join("config.json")).ok()) else {
        return Ok(None);
    };
    credentials_in(&text, registry)
}

/// Finds what `docker login` noted. A program that keeps passwords elsewhere is not asked.
fn credentials_in(config: &str, registry: &str) -> Result<Option<DockerCredentials>, CliError> {
    let Ok(config) = serde_json::from_str::<Value>(config) else { return Ok(None) };
    let entry = &config["auths"][registry];
    if let Some(auth) = entry["auth"].as_str().filter(|auth| !auth.is_empty()) {
        let decoded = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (user, password) = pair.ok_or_else(|| {
            CliError::new(
                Exit::Usage,
                format!("the login to `{registry}` in docker's config.json cannot be read"),
            )
            .code("MG062")
            .help(format!("log in again: docker login {registry}"))
        })?;
        return Ok(Some(DockerCredentials {
            username: Some(user.to_owned()),
            password: Some(password.to_owned()),
            serveraddress: Some(registry.to_owned()),
            ..DockerCredentials::default()
        }));
    }
    let keeper = config["credHelpers"][registry].as_str().or(match entry.is_object() {
        true => config["credsStore"].as_str(),
        false => None,
    });
    match keeper {
        Some(keeper) => Err(CliError::new(
            Exit::Usage,
            format!("the password for `{registry}` is kept by docker-credential-{keeper}, which mgctl does not ask"),
        )
        .code("MG062")
        .help("`mgctl image tag NAME`, then `docker push NAME`")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_registry() {
        assert_eq!(registry_of("team/mgnode"), HUB);
        assert_eq!(registry_of("mgnode"), HUB);
        assert_eq!(registry_of("localhost/mgnode"), "localhost");
        assert_eq!(registry_of("127.0.0.1:5000/a/b"), "127.0.0.1:5000");
        assert_eq!(registry_of("ghcr.io/a/b"), "ghcr.io");
    }

    #[test]
    fn logins_are_read_and_keepers_named() {
        // "ada:lovelace"
        let config = r#"{"auths": {"r:5": {"auth": "YWRhOmxvdmVsYWNl"}, "s:5": {}, "bad": {"auth": "!"}},
            "credsStore": "desktop", "credHelpers": {"gcr.io": "gcloud"}}"#;
        let found = credentials_in(config, "r:5").unwrap().unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("ada"), Some("lovelace")));
        assert!(credentials_in(config, "elsewhere").unwrap().is_none());
        for (registry, word) in [("s:5", "desktop"), ("gcr.io", "gcloud"), ("bad", "cannot be read")] {
            let error = credentials_in(config, registry).err().unwrap().to_string();
            assert!(error.contains(word) && !error.contains("lovelace"), "{error}");
        }
        assert!(credentials_in("no JSON", "r:5").unwrap().is_none());
    }
}
