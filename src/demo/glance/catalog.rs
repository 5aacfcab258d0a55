//! Images themselves: list, show, create, change, delete.

use http::StatusCode;
use http::header::LOCATION;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::demo::answers::Answer;
use crate::demo::glance::images::Content;
use crate::demo::glance::images::Image;
use crate::demo::glance::images::ImageStatus;
use crate::demo::glance::images::Images;
use crate::demo::glance::images::Visibility;
use crate::demo::glance::policy::Action;
use crate::demo::glance::policy::Policy;
use crate::demo::glance::policy::is_admin;
use crate::demo::glance::policy::owns;
use crate::demo::glance::policy::sees;
use crate::demo::glance::view::ImageView;
use crate::demo::glance::view::ImagesView;
use crate::demo::keystone::Token;
use crate::demo::webob::Refused;

const DEFAULT_LIMIT: usize = 25;

/// Lists the images that concern the caller.
///
/// # Errors
/// When the policy does not allow to list.
pub fn list(images: &Images, query: &str, caller: &Token, policy: Policy) -> Result<Answer, Refused> {
    policy.check_alone(Action::GetImages, caller, None)?;
    let mut found = images.by_id.values().filter(|image| concerns(image, query, caller)).collect::<Vec<&Image>>();
    found.sort_by_key(|image| std::cmp::Reverse(image.number));
    if let Some(marker) = parameter(query, "marker") {
        let after = found.iter().position(|image| image.id == marker).map_or(found.len(), |place| place + 1);
        found.drain(..after);
    }
    let limit = parameter(query, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(DEFAULT_LIMIT);
    found.truncate(limit);
    let last = found.last().filter(|_| found.len() == limit);
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("marker="));
    let kept = kept.collect::<Vec<&str>>().join("&");
    let page = |query: String| if query.is_empty() { "/v2/images".to_owned() } else { format!("/v2/images?{query}") };
    let next = last.map(|image| {
        let separator = if kept.is_empty() { "" } else { "&" };
        page(format!("{kept}{separator}marker={}", image.id))
    });
    let images = found.into_iter().map(ImageView::new).collect();
    Ok(Answer::json(StatusCode::OK, &ImagesView { images, first: page(kept), schema: "/v2/schemas/images", next }))
}

fn concerns(image: &Image, query: &str, caller: &Token) -> bool {
    let wanted = parameter(query, "visibility");
    if wanted.is_some_and(|name| name != "all" && Visibility::parse(name) != Some(image.visibility)) {
        return false;
    }
    let equals = |key: &str, value: Option<&str>| parameter(query, key).is_none_or(|wanted| Some(wanted) == value);
    if !equals("owner", Some(&image.owner)) || !equals("name", image.name.as_deref()) {
        return false;
    }
    let own = is_admin(caller) || owns(caller, image);
    let status = parameter(query, "member_status").unwrap_or("accepted");
    let member = caller.project().and_then(|project| image.member(project));
    let taken = member.is_some_and(|member| status == "all" || member.status == status);
    sees(caller, image)
        && match image.visibility {
            Visibility::Public => true,
            Visibility::Community => wanted.is_some() || own,
            Visibility::Shared => own || taken,
            Visibility::Private => own,
        }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Returns the image if the caller can see it.
///
/// # Errors
/// 404, in the words of the images' own requests.
pub fn find<'a>(images: &'a mut Images, id: &str, caller: &Token) -> Result<&'a mut Image, Refused> {
    let image = images.by_id.get_mut(id).filter(|image| sees(caller, image));
    image.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, format!("No image found with ID {id}")))
}

/// Shows an image.
///
/// # Errors
/// As Glance refuses.
pub fn show(images: &mut Images, id: &str, caller: &Token, policy: Policy) -> Result<Answer, Refused> {
    let image = find(images, id, caller)?;
    policy.check(Action::GetImage, caller, image)?;
    Ok(Answer::json(StatusCode::OK, &ImageView::new(image)))
}

/// Creates an image of the caller's project.
///
/// # Errors
/// As Glance refuses.
pub fn create(images: &mut Images, body: &[u8], host: &str, caller: &Token, policy: Policy) -> Result<Answer, Refused> {
    let body = json(body)?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    policy.check_alone(Action::AddImage, caller, None)?;
    let visibility = match text("visibility") {
        Some(name) => Visibility::parse(&name).ok_or_else(|| invalid("visibility", &name))?,
        None => Visibility::Shared,
    };
    if visibility == Visibility::Public {
        policy.check_alone(Action::PublicizeImage, caller, None)?;
    }
    let id = text("id").unwrap_or_else(|| Uuid::new_v4().to_string());
    if images.by_id.contains_key(&id) {
        return Err(Refused::new(StatusCode::CONFLICT, format!("Image ID {id} already exists!")));
    }
    let owner = text("owner").filter(|_| is_admin(caller)).or_else(|| caller.project().map(str::to_owned));
    let now = OffsetDateTime::now_utc();
    let image = Image {
        id: id.clone(),
        name: text("name"),
        owner: owner.unwrap_or_default(),
        visibility,
        members: Vec::new(),
        status: ImageStatus::Queued,
        content: Content::None,
        upload: None,
        protected: body.get("protected") == Some(&Value::Bool(true)),
        disk_format: text("disk_format"),
        container_format: text("container_format"),
        created_at: now,
        updated_at: now,
        number: 0,
    };
    let answer = Answer::json(StatusCode::CREATED, &ImageView::new(&image));
    images.insert(image);
    Ok(answer.with(LOCATION, &format!("http://{host}/v2/images/{id}")))
}

/// Changes an image: replaces its name, visibility, owner or protection.
///
/// # Errors
/// As Glance refuses.
pub fn patch(images: &mut Images, id: &str, body: &[u8], caller: &Token, policy: Policy) -> Result<Answer, Refused> {
    let body = json(body)?;
    let Some(operations) = body.as_array() else {
        return Err(bad("Request body must be a JSON array of operation objects."));
    };
    let image = find(images, id, caller)?;
    let mut changed = image.clone();
    for operation in operations {
        policy.check(Action::ModifyImage, caller, image)?;
        apply(&mut changed, operation, caller, policy)?;
    }
    changed.updated_at = OffsetDateTime::now_utc();
    *image = changed;
    Ok(Answer::json(StatusCode::OK, &ImageView::new(image)))
}

fn apply(image: &mut Image, operation: &Value, caller: &Token, policy: Policy) -> Result<(), Refused> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    if !matches!(text("op"), Some("replace" | "add")) {
        return Err(bad("Operations must be \"add\" or \"replace\"."));
    }
    let path = text("path").unwrap_or_default().trim_start_matches('/');
    let value = operation.get("value").cloned().unwrap_or_default();
    match (path, &value) {
        ("name", Value::String(name)) => image.name = Some(name.clone()),
        ("protected", Value::Bool(protected)) => image.protected = *protected,
        ("visibility", Value::String(name)) => {
            image.visibility = Visibility::parse(name).ok_or_else(|| invalid("visibility", name))?;
            if image.visibility == Visibility::Public {
                policy.check_alone(Action::PublicizeImage, caller, None)?;
            }
        }
        ("owner", Value::String(owner)) if is_admin(caller) => image.owner.clone_from(owner),
        ("owner" | "id" | "status" | "size" | "created_at" | "updated_at" | "schema" | "self" | "file", _) => {
            return Err(Refused::new(StatusCode::FORBIDDEN, format!("Attribute '{path}' is read-only.")));
        }
        ("name" | "protected" | "visibility", value) => return Err(invalid(path, &value.to_string())),
        // other properties are taken and not kept
        _ => {}
    }
    Ok(())
}

/// Deletes an image.
///
/// # Errors
/// As Glance refuses.
pub fn delete(images: &mut Images, id: &str, caller: &Token, policy: Policy) -> Result<Answer, Refused> {
    let Some(image) = images.by_id.get(id).filter(|image| sees(caller, image)) else {
        let explanation = format!("Failed to find image {id} to delete");
        return Err(Refused::new(StatusCode::NOT_FOUND, explanation));
    };
    policy.check(Action::DeleteImage, caller, image)?;
    if image.protected {
        let explanation = format!("Image {id} is protected and cannot be deleted.");
        return Err(Refused::new(StatusCode::FORBIDDEN, explanation));
    }
    images.by_id.remove(id);
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

fn json(body: &[u8]) -> Result<Value, Refused> {
    if body.is_empty() {
        return Err(bad("Body expected in request."));
    }
    serde_json::from_slice(body).map_err(|_| bad("Malformed JSON in request body."))
}

fn bad(explanation: &str) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, explanation)
}

fn invalid(property: &str, value: &str) -> Refused {
    bad(&format!("Provided object does not match schema 'image': '{value}' is not valid for '{property}'"))
}
