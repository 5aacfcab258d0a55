//! The words of `OpenStack`, parsed: no I/O, nothing that can be wrong once it exists.

pub mod access_rule;
pub mod base64url;
pub mod identity;
pub mod identity_headers;
pub mod image;
pub mod member;
pub mod member_action;
pub mod member_body;
pub mod member_request;
pub mod request_id;
pub mod route;
pub mod strict_json;
pub mod target;
pub mod token;
