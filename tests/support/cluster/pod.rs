//! What a pod's specification says about the one container in it that is run.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, KeyToPath, Pod, Secret, ServiceAccount, Volume};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};

use super::network::ADDRESS;
use super::plane::PORT;
use super::sandbox;

/// Longer than any test.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// A file in a volume: its path there, and what it says.
type File = (String, Vec<u8>);

/// The container of otelgate's own image.
pub fn container(pod: &Pod) -> Option<&Container> {
    let is_ours = |container: &&Container| {
        let image = container.image.as_deref().unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        last.split([':', '@']).next() == Some("otelgate")
    };
    pod.spec.as_ref()?.containers.iter().find(is_ours)
}

/// Where the container says that it can be asked whether it's ready: port and path.
pub fn readiness(container: &Container) -> Option<(u16, String)> {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let probe = container.readiness_probe.as_ref()?.http_get.as_ref()?;
    let port = match &probe.port {
        IntOrString::Int(port) => *port,
        IntOrString::String(name) => {
            let ports = container.ports.as_deref().unwrap_or_default();
            ports.iter().find(|port| port.name.as_ref() == Some(name))?.container_port
        }
    };
    Some((u16::try_from(port).ok()?, probe.path.clone().unwrap_or_else(|| "/".to_owned())))
}

/// Everything that the container is started with, tokens made and files read through the API as kubelet does it.
///
/// # Errors
/// When the API server refuses something, or the pod uses what isn't understood here.
pub async fn resolve(
    client: &Client,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
    program: &Path,
) -> Result<sandbox::Container, String> {
    let mut files = Vec::new();
    let mut folders = Vec::new();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    for mount in container.volume_mounts.as_deref().unwrap_or_default() {
        let volume = volumes.iter().find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| format!("no volume {}", mount.name))?;
        folders.push(mount.mount_path.clone());
        for (path, content) in content(client, pod, volume).await? {
            files.push((format!("{}/{path}", mount.mount_path), content));
        }
    }
    let mut environment = vec![
        ("KUBERNETES_SERVICE_HOST".to_owned(), ADDRESS.to_owned()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), PORT.to_string()),
    ];
    for variable in container.env.as_deref().unwrap_or_default() {
        environment.push((variable.name.clone(), value(pod, variable, address)?));
    }
    let command = container.command.as_deref().unwrap_or_default().iter().skip(1);
    let expand = |text: &String| {
        environment.iter().fold(text.clone(), |text, (name, value)| text.replace(&format!("$({name})"), value))
    };
    Ok(sandbox::Container {
        name: pod.name_any(),
        namespace: pod.namespace().unwrap_or_default(),
        address,
        program: program.to_owned(),
        arguments: command.chain(container.args.as_deref().unwrap_or_default()).map(expand).collect(),
        environment,
        files,
        folders,
    })
}

fn value(pod: &Pod, variable: &EnvVar, address: Ipv4Addr) -> Result<String, String> {
    let Some(from) = &variable.value_from else { return Ok(variable.value.clone().unwrap_or_default()) };
    let path = from.field_ref.as_ref().map(|field| field.field_path.as_str());
    Ok(match path {
        Some("metadata.name") => pod.name_any(),
        Some("metadata.namespace") => pod.namespace().unwrap_or_default(),
        Some("metadata.uid") => pod.uid().unwrap_or_default(),
        Some("spec.nodeName") => pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        Some("status.podIP") => address.to_string(),
        Some("status.hostIP") => ADDRESS.to_owned(),
        _ => return Err(format!("variable {} comes from something that isn't understood here", variable.name)),
    })
}

async fn content(client: &Client, pod: &Pod, volume: &Volume) -> Result<Vec<File>, String> {
    if volume.empty_dir.is_some() {
        return Ok(Vec::new());
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        return secret(client, pod, name, source.items.as_deref(), source.optional == Some(true)).await;
    }
    if let Some(source) = &volume.config_map {
        return config_map(client, pod, &source.name, source.items.as_deref(), source.optional == Some(true)).await;
    }
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
    let sources = sources.ok_or_else(|| format!("volume {} is of a kind that isn't understood here", volume.name))?;
    let mut files = Vec::new();
    for source in sources {
        if let Some(source) = &source.service_account_token {
            files.push((source.path.clone(), token(client, pod, source.audience.as_deref()).await?.into_bytes()));
        }
        if let Some(source) = &source.config_map {
            let optional = source.optional == Some(true);
            files.extend(config_map(client, pod, &source.name, source.items.as_deref(), optional).await?);
        }
        if let Some(source) = &source.secret {
            let optional = source.optional == Some(true);
            files.extend(secret(client, pod, &source.name, source.items.as_deref(), optional).await?);
        }
        for item in source.downward_api.as_ref().and_then(|source| source.items.as_deref()).unwrap_or_default() {
            let field = item.field_ref.as_ref().map(|field| field.field_path.as_str());
            match field {
                Some("metadata.namespace") => {
                    files.push((item.path.clone(), pod.namespace().unwrap_or_default().into_bytes()));
                }
                _ => return Err(format!("file {} of the downward API isn't understood here", item.path)),
            }
        }
    }
    Ok(files)
}

/// A token that dies with the pod.
async fn token(client: &Client, pod: &Pod, audience: Option<&str>) -> Result<String, String> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: audience.map(|audience| vec![audience.to_owned()]),
            expiration_seconds: Some(TOKEN_SECONDS),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
        }),
        ..TokenRequest::default()
    };
    let accounts = api::<ServiceAccount>(client, pod);
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let answer = answer.map_err(|error| format!("a token of {account}: {error}"))?;
    answer.status.and_then(|status| status.token).ok_or_else(|| format!("no token of {account}"))
}

async fn secret(
    client: &Client,
    pod: &Pod,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
) -> Result<Vec<File>, String> {
    let found = api::<Secret>(client, pod).get_opt(name).await.map_err(|error| format!("secret {name}: {error}"))?;
    let data = found.map(|secret| secret.data.unwrap_or_default());
    let data = data.map(|data| data.into_iter().map(|(key, value)| (key, value.0)).collect());
    select(&format!("secret {name}"), data, items, optional)
}

async fn config_map(
    client: &Client,
    pod: &Pod,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
) -> Result<Vec<File>, String> {
    let found = api::<ConfigMap>(client, pod).get_opt(name).await;
    let data = found.map_err(|error| format!("config map {name}: {error}"))?.map(|map| map.data.unwrap_or_default());
    let data = data.map(|data| data.into_iter().map(|(key, value)| (key, value.into_bytes())).collect());
    select(&format!("config map {name}"), data, items, optional)
}

/// The keys that are asked for, else all. A pod whose object isn't there has to wait for it.
fn select(
    object: &str,
    data: Option<BTreeMap<String, Vec<u8>>>,
    items: Option<&[KeyToPath]>,
    optional: bool,
) -> Result<Vec<File>, String> {
    let Some(mut data) = data else {
        return if optional { Ok(Vec::new()) } else { Err(format!("{object} isn't there")) };
    };
    let Some(items) = items else { return Ok(data.into_iter().collect()) };
    let mut files = Vec::new();
    for item in items {
        match data.remove(&item.key) {
            Some(content) => files.push((item.path.clone(), content)),
            None if optional => {}
            None => return Err(format!("{object} has no key {}", item.key)),
        }
    }
    Ok(files)
}

fn api<K>(client: &Client, pod: &Pod) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default())
}
