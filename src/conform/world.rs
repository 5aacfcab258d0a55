//! The images that are asked about: made by the owner, put back before each question, and removed at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

use crate::conform::callers::Callers;
use crate::conform::callers::Role;
use crate::conform::endpoint::Ask;
use crate::conform::endpoint::Endpoint;
use crate::conform::specs::Afterwards;
use crate::conform::specs::SPECS;
use crate::conform::specs::Spec;

/// What every image's name begins with.
pub const NAME: &str = "glance-gate-conform-";

/// How often an image is looked for that may have been made although nobody was told so.
const LOOKS: u32 = 3;
/// How long is waited between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether everybody may be shown an image for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publicity {
    /// No image is made public.
    Never,
    /// One is, if there is an administrator.
    Allowed,
}

/// The images as they are meant to be.
#[derive(Debug)]
pub struct World {
    /// The name that all of them have.
    pub name: String,
    images: BTreeMap<&'static str, Image>,
    /// The members as they were last told, until something may have changed them.
    told: BTreeMap<String, Members>,
    missing: String,
}

#[derive(Debug)]
struct Image {
    id: String,
    /// The members that it begins each question with, all pending; nothing if they can not be listed.
    members: Option<Vec<String>>,
    state: State,
}

/// How far an image has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It was asked for; whether it is there is not known.
    Asked,
    /// It is there.
    Made,
    /// It is as it should be.
    Ready,
    /// It can not be had, and why.
    Unusable(String),
}

/// The members of an image, by project: their status.
pub type Members = BTreeMap<String, String>;

impl World {
    /// Begins with a name of its own; nothing is made yet.
    pub fn named() -> Self {
        let random = Uuid::new_v4().simple().to_string();
        let short = random.get(..8).unwrap_or(&random);
        let missing = Uuid::new_v4().to_string();
        Self { name: format!("{NAME}{short}"), images: BTreeMap::new(), told: BTreeMap::new(), missing }
    }

    /// Makes the images. One that can not be made is unusable, and the others go on.
    ///
    /// # Errors
    /// Fails if not even a shared image can be made and shared: then there is nothing to ask about.
    pub async fn make(&mut self, endpoint: &Endpoint, callers: &Callers, publicity: Publicity) -> Result<(), String> {
        for spec in SPECS {
            let members = spec.members.iter().filter_map(|role| callers.project(*role)).map(str::to_owned).collect();
            let image = Image { id: Uuid::new_v4().to_string(), members: Some(members), state: State::Asked };
            self.images.insert(spec.name, image);
            let made = if spec.afterwards == Afterwards::Public && publicity == Publicity::Never {
                self.set(spec.name, State::Unusable("no image is made public without --with-public".into()));
                continue;
            } else {
                self.make_one(endpoint, callers, &spec).await
            };
            match made {
                Ok(()) => self.set(spec.name, State::Ready),
                Err(why) if spec.name == "shared" => return Err(why),
                // what of it is there is still to be removed
                Err(why) => self.set(spec.name, State::Unusable(why)),
            }
        }
        Ok(())
    }

    async fn make_one(&mut self, endpoint: &Endpoint, callers: &Callers, spec: &Spec) -> Result<(), String> {
        let Some(image) = self.images.get(spec.name) else { return Ok(()) };
        let (id, members) = (image.id.clone(), image.members.clone().unwrap_or_default());
        let mut body = json!({"id": id, "name": self.name, "visibility": spec.visibility});
        if let (Some(attribute), Some(keys)) = (spec.attribute, body.as_object_mut()) {
            keys.insert(attribute.into(), true.into());
        }
        let owner = callers.token(Role::Owner);
        let must = async |ask: Ask, token, status: StatusCode| {
            let what = format!("the image {}: {} {}", spec.name, ask.method, ask.target);
            match endpoint.send(&ask, token).await {
                Ok(answer) if answer.status == status => Ok(()),
                Ok(answer) => Err(format!("{what} was answered {}", answer.status.as_u16())),
                Err(error) => Err(format!("{what}: {error}")),
            }
        };
        must(Ask::json("POST", "/v2/images", &body.to_string()), owner, StatusCode::CREATED).await?;
        self.set(spec.name, State::Made);
        let path = format!("/v2/images/{id}");
        for member in members {
            let body = json!({"member": member}).to_string();
            must(Ask::json("POST", &format!("{path}/members"), &body), owner, StatusCode::OK).await?;
        }
        match spec.afterwards {
            Afterwards::Stays if spec.visibility == "shared" => return Ok(()),
            Afterwards::Stays => {}
            Afterwards::Private => must(replace(&path, "visibility", &"private".into()), owner, StatusCode::OK).await?,
            Afterwards::Public => {
                let admin = callers.token(Role::Admin);
                let admin = Some(admin.ok_or("only an administrator can make an image public, and there is none")?);
                must(replace(&path, "visibility", &"public".into()), admin, StatusCode::OK).await?;
            }
            Afterwards::Deleted => must(Ask::json("DELETE", &path, ""), owner, StatusCode::NO_CONTENT).await?,
        }
        if let Some(image) = self.images.get_mut(spec.name) {
            // members of an image that is not shared are not told
            image.members = None;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, state: State) {
        if let Some(image) = self.images.get_mut(name) {
            image.state = state;
        }
    }

    /// Tells why an image can not be asked about; nothing if it can.
    pub fn lacks(&self, name: &str) -> Option<String> {
        match self.images.get(name).map(|image| &image.state) {
            Some(State::Ready) => None,
            Some(State::Unusable(why)) => Some(why.clone()),
            Some(State::Asked | State::Made) | None => (name != "missing").then(|| format!("there is no image {name}")),
        }
    }

    /// Returns the id of an image by its name here.
    pub fn id(&self, name: &str) -> &str {
        self.images.get(name).map_or(&self.missing, |image| &image.id)
    }

    /// Returns the members that an image begins a question with; nothing if nobody can tell.
    pub fn meant(&self, name: &str) -> Option<Members> {
        let members = self.images.get(name)?.members.as_ref()?;
        Some(members.iter().map(|member| (member.clone(), "pending".to_owned())).collect())
    }

    /// Puts an image's members back, all of them pending, and then gives `status` to the member if there is one.
    ///
    /// # Errors
    /// Tells which call did not do what it should.
    pub async fn reset(
        &mut self,
        name: &str,
        status: Option<&str>,
        endpoint: &Endpoint,
        callers: &Callers,
    ) -> Result<(), String> {
        let Some(mut meant) = self.meant(name) else { return Ok(()) };
        let found = match self.told.remove(name) {
            Some(found) => found,
            None => self.members(name, endpoint, callers).await?,
        };
        let owner = callers.token(Role::Owner);
        let path = format!("/v2/images/{}/members", self.id(name));
        let call = async |method: &str, target: &str, body: &str, token| {
            let ask = Ask::json(method, target, body);
            let answer = endpoint.send(&ask, token).await.map_err(|error| format!("{method} {target}: {error}"))?;
            if answer.status.is_success() {
                return Ok(());
            }
            Err(format!("{method} {target} was answered {}", answer.status.as_u16()))
        };
        for (member, _) in found.iter().filter(|(member, status)| meant.get(*member) != Some(*status)) {
            call("DELETE", &format!("{path}/{member}"), "", owner).await?;
        }
        for (member, _) in meant.iter().filter(|(member, status)| found.get(*member) != Some(*status)) {
            call("POST", &path, &json!({"member": member}).to_string(), owner).await?;
        }
        if let (Some(status), Some(member)) = (status, callers.project(Role::Member))
            && let Some(held) = meant.get_mut(member)
        {
            let body = json!({"status": status}).to_string();
            call("PUT", &format!("{path}/{member}"), &body, callers.token(Role::Member)).await?;
            status.clone_into(held);
        }
        self.told.insert(name.to_owned(), meant);
        Ok(())
    }

    /// Forgets what was told of an image's members: they may have changed.
    pub fn forget(&mut self, name: &str) {
        self.told.remove(name);
    }

    /// Remembers what was told of an image's members.
    pub fn remember(&mut self, name: &str, members: Members) {
        self.told.insert(name.to_owned(), members);
    }

    /// Returns the members of an image as its owner sees them.
    ///
    /// # Errors
    /// Tells why they can not be told.
    pub async fn members(&self, name: &str, endpoint: &Endpoint, callers: &Callers) -> Result<Members, String> {
        let ask = Ask::json("GET", &format!("/v2/images/{}/members", self.id(name)), "");
        let answer = endpoint.send(&ask, callers.token(Role::Owner)).await;
        let answer = answer.map_err(|error| format!("the owner's list of members: {error}"))?;
        if answer.status != StatusCode::OK {
            return Err(format!("the owner's list of members was answered {}", answer.status.as_u16()));
        }
        let list: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let members = list.as_ref().and_then(|list| list.get("members")?.as_array());
        let text = |member: &Value, key: &str| Some(member.get(key)?.as_str()?.to_owned());
        members
            .and_then(|members| {
                members.iter().map(|one| Some((text(one, "member_id")?, text(one, "status")?))).collect()
            })
            .ok_or_else(|| "the owner's list of members can not be read".into())
    }

    /// Returns the ids of the images that may be there.
    pub fn ids(&self) -> Vec<String> {
        self.images.values().map(|image| image.id.clone()).collect()
    }

    /// Removes all images; returns the ids of those that may still be there.
    pub async fn remove(&self, endpoint: &Endpoint, callers: &Callers) -> Vec<String> {
        let mut left = Vec::new();
        for (name, image) in &self.images {
            let path = format!("/v2/images/{}", image.id);
            let owner = callers.token(Role::Owner);
            if *name == "protected" {
                // what became of it shows when it is deleted
                drop(endpoint.send(&replace(&path, "protected", &false.into()), owner).await);
            }
            let looks = if image.state == State::Asked { LOOKS } else { 1 };
            if !delete(&path, looks, endpoint, callers).await {
                left.push(image.id.clone());
            }
        }
        left
    }
}

/// Deletes an image, and looks so often whether it is gone; tells whether it is.
async fn delete(path: &str, looks: u32, endpoint: &Endpoint, callers: &Callers) -> bool {
    let mut is_gone = false;
    for look in 0..looks {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match endpoint.send(&Ask::json("DELETE", path, ""), callers.token(Role::Owner)).await {
            Ok(answer) if answer.status == StatusCode::NO_CONTENT => return true,
            Ok(answer) => is_gone = answer.status == StatusCode::NOT_FOUND,
            Err(_) => is_gone = false,
        }
    }
    is_gone
}

/// Writes a change of an image (Image API v2, "Update image").
fn replace(path: &str, attribute: &str, value: &Value) -> Ask {
    let body = json!([{"op": "replace", "path": format!("/{attribute}"), "value": value}]).to_string();
    let kind = "application/openstack-images-v2.1-json-patch";
    let headers = [("Accept", "application/json"), ("Content-Type", kind)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Ask { method: "PATCH".into(), target: path.into(), headers, body }
}
