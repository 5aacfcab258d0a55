//! What several gates share, and what `OpenStack`'s own bus tells each: news of changes, and counts for limits.
//!
//! ```text
//!  a change passes by ─▶ outbox ─▶ redis ═══▶ redis of every other gate ─▶ hearing ─▶ caches forget
//!  Glance, Keystone ═══▶ RabbitMQ ═══▶ notifications ───────────────────▶ hearing ─▶ caches forget
//!  a limit spent of ─▶ spending ─▶ redis ═══▶ spending of every other gate
//! ```
//!
//! News only ever make a gate forget: it then asks Keystone or Glance, as it would have without having been told. No
//! message can make it let anything pass. Nothing here is on a request's way but a look at an atomic pointer; the tasks
//! belong to the control thread.

pub mod board;
pub mod counter;
pub mod hearing;
pub mod letter;
pub mod news;
pub mod notifications;
pub mod oslo;
pub mod outbox;
pub mod redis;
pub mod spending;
pub mod standing;
pub mod transport_url;
