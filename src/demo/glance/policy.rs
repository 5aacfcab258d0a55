//! Who may do what with an image: what the caller can see, and the policies of both generations.

use http::StatusCode;

use crate::demo::glance::images::Image;
use crate::demo::glance::images::Visibility;
use crate::demo::keystone::Token;
use crate::demo::webob::Refused;

/// Which policy defaults are in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// `enforce_new_defaults = True`: the roles reader and member are asked for.
    #[default]
    New,
    /// `enforce_new_defaults = False`: any role will do, and the owner may never change a status.
    Legacy,
}

/// What can be done, by the name of its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// List images.
    GetImages,
    /// See one image.
    GetImage,
    /// Create an image.
    AddImage,
    /// Change an image.
    ModifyImage,
    /// Delete an image.
    DeleteImage,
    /// Make an image public.
    PublicizeImage,
    /// Give an image its data.
    UploadImage,
    /// Get an image's data.
    DownloadImage,
    /// See one member.
    GetMember,
    /// List members.
    GetMembers,
    /// Share with a project.
    AddMember,
    /// Set a member's status.
    ModifyMember,
    /// Stop sharing with a project.
    DeleteMember,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::GetImages => "get_images",
            Self::GetImage => "get_image",
            Self::AddImage => "add_image",
            Self::ModifyImage => "modify_image",
            Self::DeleteImage => "delete_image",
            Self::PublicizeImage => "publicize_image",
            Self::UploadImage => "upload_image",
            Self::DownloadImage => "download_image",
            Self::GetMember => "get_member",
            Self::GetMembers => "get_members",
            Self::AddMember => "add_member",
            Self::ModifyMember => "modify_member",
            Self::DeleteMember => "delete_member",
        }
    }
}

/// Returns whether the token makes an administrator.
#[must_use]
pub fn is_admin(caller: &Token) -> bool {
    caller.has_role("admin")
}

/// Returns whether the caller's project owns the image.
#[must_use]
pub fn owns(caller: &Token, image: &Image) -> bool {
    caller.project() == Some(&image.owner)
}

/// Returns whether the image exists as far as the caller is concerned.
#[must_use]
pub fn sees(caller: &Token, image: &Image) -> bool {
    let is_member = |project: &str| image.member(project).is_some();
    is_admin(caller)
        || owns(caller, image)
        || match image.visibility {
            Visibility::Public | Visibility::Community => true,
            Visibility::Shared => caller.project().is_some_and(is_member),
            Visibility::Private => false,
        }
}

impl Policy {
    /// Checks the policy of an action on a visible image.
    ///
    /// # Errors
    /// 404 when the image may not even be got, else 403.
    pub fn check(self, action: Action, caller: &Token, image: &Image) -> Result<(), Refused> {
        if !self.allows(Action::GetImage, caller, Some(image)) {
            return Err(Refused::new(StatusCode::NOT_FOUND, "The resource could not be found."));
        }
        self.check_alone(action, caller, Some(image))
    }

    /// Checks the policy of an action, and of nothing else.
    ///
    /// # Errors
    /// 403 when it does not allow the action.
    pub fn check_alone(self, action: Action, caller: &Token, image: Option<&Image>) -> Result<(), Refused> {
        if self.allows(action, caller, image) {
            return Ok(());
        }
        let explanation = format!("You are not authorized to complete {} action.", action.name());
        Err(Refused::new(StatusCode::FORBIDDEN, explanation))
    }

    fn allows(self, action: Action, caller: &Token, image: Option<&Image>) -> bool {
        // scope_types = ["project"], for administrators as well
        let Some(project) = caller.project() else {
            return false;
        };
        if is_admin(caller) {
            return true;
        }
        let owner = image.is_none_or(|image| image.owner == project);
        // what the database calls the member of an image is the caller's own project
        let member = image.is_some_and(|image| image.visibility == Visibility::Shared && image.owner != project);
        match (action, self) {
            (Action::PublicizeImage, _) => false,
            (Action::ModifyImage | Action::DeleteImage | Action::UploadImage, Self::Legacy) => owner,
            (_, Self::Legacy) => true,
            (Action::GetImages | Action::GetImage, Self::New) => caller.has_role("reader"),
            (Action::GetMember | Action::GetMembers, Self::New) => caller.has_role("reader") && (owner || member),
            (Action::ModifyMember, Self::New) => caller.has_role("member") && member,
            (Action::DownloadImage, Self::New) => caller.has_role("member"),
            (
                Action::AddImage
                | Action::ModifyImage
                | Action::DeleteImage
                | Action::UploadImage
                | Action::AddMember
                | Action::DeleteMember,
                Self::New,
            ) => caller.has_role("member") && owner,
        }
    }
}
