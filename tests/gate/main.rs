//! The gate from outside: real sockets, a Keystone and a Glance stand-in, nothing fixed and nothing slept through.
//!
//! A new test belongs to the file of its subject:
//!
//! | file | subject |
//! |---|---|
//! | `harness` | starting a gate, waiting for an event, what every refusal must look like |
//! | `client` | HTTP/1.1 byte by byte |
//! | `scene` | an image, its owner, a member and a stranger |
//! | `catalogue` | every `Refusal` occurs in some test |
//! | `credentials` | who may not even ask: tokens missing, doubled, malformed, unknown; access rules |
//! | `access_tokens` | tokens of an OIDC issuer; a Glance that believes headers |
//! | `bodies` | what is no member update: method, media type, size, JSON |
//! | `decisions_documented`, `decisions_glance` | owner, member, stranger, admin, by profile |
//! | `member_family`, `member_family_glance`, `hostile_members` | the other calls on members, where they are guarded; hostile spellings of them |
//! | `policy`, `policy_check` | the operator's own policy.yaml: what it decides, and what becomes of a change of it; the command |
//! | `adopt` | a configuration out of a Glance's files |
//! | `layouts` | how refusals look: forms by Accept, the headers that go with them |
//! | `request_ids` | `x-openstack-request-id`, inwards and outwards |
//! | `permitted` | what Glance sees of a call that passes |
//! | `targets`, `headers` | hostile spellings, and benign ones that look like them |
//! | `fleet` | other gates and OpenStack's bus, if they can not be reached |
//! | `forwarded` | where a request came from: believed of whom, told to Glance |
//! | `hostile`, `hostile_bytes` | hostile requests as bytes, how they are written, and the one way all of them are tried |
//! | `hostile_framing`, `hostile_chunks`, `hostile_lines`, `hostile_targets`, `hostile_identity`, `hostile_bodies`, `hostile_floods`, `hostile_pipelines` | their tables |
//! | `hostile_benign` | what looks hostile and must pass |
//! | `hostile_found` | what hostile requests have found |
//! | `hostile_tokens` | hostile signed tokens: all of them are refused |
//! | `hostile_tokens_signed`, `hostile_tokens_forged`, `hostile_tokens_made` | their tables, and how they are made |
//! | `limits` | too much, too slow, and bugs |
//! | `many_connections` | ten thousand of them |
//! | `rates` | too often; connections; slow heads |
//! | `rate_limits` | an operator's own limits, and the document that tells callers of theirs |
//! | `token_cache`, `ownership_cache` | what is asked once, and when it is asked again |
//! | `keystone_faults`, `service_token` | Keystone misbehaves; the gate's own token |
//! | `service_tokens` | the second credential, and tokens that ride on it |
//! | `jws` | signed tokens |
//! | `glance_faults`, `ownership_faults` | Glance misbehaves |
//! | `balance`, `upstream_faults`, `shedding` | which upstream gets a request; one that fails; more than Glance can do |
//! | `client_faults` | clients misbehave |
//! | `passthrough`, `streaming` | everything else, unread: answers untouched, images whole |
//! | `long_bodies` | bodies that the kernel moves from socket to socket are the same as those that are copied |
//! | `upstream_http1`, `upstream_http2`, `upstream_tls`, `upstream_unix` | the gate as a client of its upstreams |
//! | `authority` | certificates of a test's own |
//! | `scripted` | an upstream that does what a test tells it |
//! | `observe` | refusals that are only told |
//! | `shadow`, `shadow_credentials`, `shadow_faults`, `shadow_scene` | copies of the traffic for a staging: what it gets, what it never gets, and that nobody waits for it |
//! | `rules` | what single rules are set to, what they earn, and the kill switch |
//! | `page` | the operators' page: who gets it, what it tells, its live feed |
//! | `audit`, `audit_sinks` | what auditors are told of calls, and how it gets to them |
//! | `decisions`, `replay_command` | the decision log, and what another configuration would change of it |
//! | `shadow_diff` | what staging answers otherwise: its lines, page, rules, and report |
//! | `explain` | why a request was answered as it was |
//! | `kill_switch` | that switch of the built binary, under load |
//! | `rollout` | `docs/ROLLOUT.md` and `config/observe.toml`: what is written there is done |
//! | `health`, `drain` | what operators and load balancers see; the end |
//! | `reload`, `reload_memory`, `reload_command` | another configuration while the gate runs: what changes, what is kept, how it is told |
//! | `restart` | another process takes over |
//! | `load` | a steady load of which no call may fail |
//! | `tls`, `certificates` | TLS on the listener: who is let in, what is shown, how both change; what is shown is made here |
//! | `proxy_protocol` | whose PROXY header counts, and for what |
//! | `http2`, `http2_client` | HTTP/2: the same calls and refusals; a client of it |
//! | `http2_hostile`, `http2_frames` | hostile HTTP/2, written frame by frame |
//! | `traces`, `traces_sent`, `collector` | what a trace collector is told, and what becomes of it; the collector |
//! | `dashboards`, `promql` | the dashboard and the alerts name what is exported; how their expressions are read |
//! | `command`, `secrets` | the built binary: its commands and exit codes, and what its log never holds |
//! | `between` | a hop that changes what passes by |
//! | `contract` | answers are checked against the schema that Glance serves |
//! | `conform` | an endpoint that keeps the contract, and ones that do not |
//! | `process` | starting and ending that binary |
//! | `regressions` | bugs that were there once |

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test that can not go on fails")]

mod access_tokens;
mod adopt;
mod audit;
mod audit_sinks;
mod authority;
mod balance;
mod between;
mod bodies;
mod catalogue;
mod certificates;
mod client;
mod client_faults;
mod collector;
mod command;
mod conform;
mod contract;
mod credentials;
mod dashboards;
mod decisions;
mod decisions_documented;
mod decisions_glance;
mod drain;
mod explain;
mod fleet;
mod forwarded;
mod glance_faults;
mod harness;
mod headers;
mod health;
mod hostile;
mod hostile_benign;
mod hostile_bodies;
mod hostile_bytes;
mod hostile_chunks;
mod hostile_floods;
mod hostile_found;
mod hostile_framing;
mod hostile_identity;
mod hostile_lines;
mod hostile_members;
mod hostile_pipelines;
mod hostile_targets;
mod hostile_tokens;
mod hostile_tokens_forged;
mod hostile_tokens_made;
mod hostile_tokens_signed;
mod http2;
mod http2_client;
mod http2_frames;
mod http2_hostile;
mod jws;
mod keystone_faults;
mod kill_switch;
mod layouts;
mod limits;
mod load;
mod long_bodies;
mod many_connections;
mod member_family;
mod member_family_glance;
mod observe;
mod ownership_cache;
mod ownership_faults;
mod page;
mod passthrough;
mod permitted;
mod policy;
mod policy_check;
mod process;
mod promql;
mod proxy_protocol;
mod rate_limits;
mod rates;
mod recording;
mod regressions;
mod reload;
mod reload_command;
mod reload_memory;
mod replay_command;
mod request_ids;
mod restart;
mod rollout;
mod rules;
mod scene;
mod scripted;
mod secrets;
mod service_token;
mod service_tokens;
mod shadow;
mod shadow_credentials;
mod shadow_diff;
mod shadow_faults;
mod shadow_scene;
mod shedding;
mod streaming;
mod targets;
mod tls;
mod token_cache;
mod traces;
mod traces_sent;
mod upstream_faults;
mod upstream_http1;
mod upstream_http2;
mod upstream_tls;
mod upstream_unix;
