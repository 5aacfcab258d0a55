//! glance-gate: the API gateway that stands in front of an `OpenStack` Glance-compatible image store and guards
//! image-member updates.
//!
//! ```text
//!  client ─▶ server ─▶ edge ─▶ route ─┬─ member update ─▶ enforce ─▶ authenticate ─▶ validate ─▶ authorize ─┐
//!           accept     id, log,       │                                                                     ├─▶ upstream ─▶ Glance
//!           codecs     respond,       ├─ passthrough ─────▶ identify ─▶ limits ─▶ watch ──────────────────────────┘
//!                      headers        ├─ healthcheck
//!                                     └─ ambiguous ─▶ refused
//! ```
//!
//! # Rules
//!
//! 1. **What we checked is what we forward**: the parsed path, the one token, and the gate's own spelling of the body.
//! 2. **Refuse when unsure**: a target that can be read in two ways, a token nobody could verify, an owner nobody could
//!    look up: none of them passes.
//! 3. **Never more permissive than Glance**, and in the `glance` profile never a different code. What cannot be proved
//!    at the edge is asked of Glance by forwarding the call.
//! 4. **Limits belong to a branch**: member updates have limits on body and time; everything else carries images of
//!    many gigabytes for hours, with idle timeouts only and in constant memory.
//! 5. **One core, one worker**: each worker owns a single-threaded runtime, a listener on the shared port and its own
//!    upstream connections. No request crosses a thread; only caches, limits and metrics are shared.
//!
//! # Where things are
//!
//! | level | modules | may import |
//! |---|---|---|
//! | 8 | `main`, `command` | anything |
//! | 7 | [`demo`]: the gate between stand-ins, for `demo` and the tests | levels 0–6 |
//! | 6 | [`app`]: builds everything and runs it | levels 0–5 |
//! | 5 | [`config`]: gathers every component's `Config`; [`page`]: what operators see | levels 0–4 and each other; `page` no component |
//! | 4 | [`conform`]: judges an endpoint from outside; [`stack`]: **the request's way, read it first**; [`server`]: connections, knows nothing of `OpenStack`; [`review`]: decisions looked at again; [`adopt`]: a Glance's own files | `stack`: levels 0–3; `server`: level 0 without `openstack`; `review`: levels 0–3, nothing that a request goes through; `adopt`: levels 0–2; `conform`: only `keystone`, `client` and level 0 |
//! | 3 | [`edge`], [`route`], [`check`], [`member_update`], [`limits`], [`service_token`], [`identify`], [`vouch`]; [`shadow`]: copies for staging | levels 0–2 and each other; `route` and `member_update` never `upstream` |
//! | 2 | [`keystone`]: who vouches; [`oidc`]: who else vouches; [`glance`]: who owns; [`upstream`]: the way to the image store; [`rules`]: which refusals are acted on; [`contract`]: whether answers keep their schema; [`audit`]: what auditors are told | levels 0–1, never each other |
//! | 1 | [`refusal`], [`call`], [`cache`], [`client`], [`fleet`]: what several gates share, [`diff`] | level 0 and each other; `diff` only level 0 |
//! | 0 | [`openstack`], [`oslo_policy`], [`framing`], [`body`], [`peer`], [`secret`], [`telemetry`] | level 0 |
//!
//! `tests/architecture.rs` fails where an import points up. [`vouch`] and [`member_update`] are the seam where "could not
//! find out" ([`keystone::VerifyError`], [`oidc::OidcError`], [`glance::LookupError`]) becomes "no"
//! ([`refusal::Refusal`]).

pub mod adopt;
pub mod app;
pub mod audit;
pub mod body;
pub mod cache;
pub mod call;
pub mod check;
pub mod client;
pub mod config;
pub mod conform;
pub mod contract;
pub mod demo;
pub mod diff;
pub mod edge;
pub mod fleet;
pub mod framing;
pub mod glance;
pub mod identify;
pub mod keystone;
pub mod limits;
pub mod member_update;
pub mod oidc;
pub mod openstack;
pub mod oslo_policy;
pub mod page;
pub mod peer;
pub mod refusal;
pub mod review;
pub mod route;
pub mod rules;
pub mod secret;
pub mod server;
pub mod service_token;
pub mod shadow;
pub mod stack;
pub mod telemetry;
pub mod upstream;
pub mod vouch;
