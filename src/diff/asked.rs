//! What both sides were asked, without anything secret.

use http::Method;

use crate::openstack::identity::ProjectId;
use crate::openstack::request_id::RequestId;

/// A request that two sides have answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The gate's id of the request.
    pub request_id: RequestId,
    /// Its method.
    pub method: Method,
    /// Its route: the path with the names of its ids (`openstack::route`).
    pub route: &'static str,
    /// Its path and query as the primary got them.
    pub target: String,
    /// Who asked, if that is known.
    pub project: Option<ProjectId>,
}
