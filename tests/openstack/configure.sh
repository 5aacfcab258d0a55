# Writes Keystone's and Glance's configuration into $STATE; sourced by up.sh.
if [ -n "$NOTIFICATIONS_URL" ]; then
  notifications="driver = messagingv2
transport_url = $NOTIFICATIONS_URL"
else
  notifications="driver = noop"
fi
cat > "$STATE/keystone/keystone.conf" <<CONF
[DEFAULT]
log_file = $STATE/log/keystone.log
use_stderr = false
public_endpoint = $KS_URL
# JWS tokens are longer than the default allows
max_token_size = 4096
notification_format = $NOTIFICATION_FORMAT
[oslo_messaging_notifications]
$notifications
[database]
connection = sqlite:///$STATE/keystone/keystone.sqlite
[token]
provider = $TOKEN_PROVIDER
expiration = $TOKEN_EXPIRATION
[fernet_tokens]
key_repository = $STATE/keystone/fernet-keys
[credential]
key_repository = $STATE/keystone/credential-keys
[jwt_tokens]
jws_private_key_repository = $STATE/keystone/jws/private
jws_public_key_repository = $STATE/keystone/jws/public
[identity]
# throw-away passwords: hash them fast
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.null
[oslo_policy]
policy_file = $STATE/keystone/policy.yaml
CONF
: > "$STATE/keystone/policy.yaml"
: > "$STATE/glance/policy.yaml"
sed "s#/etc/glance/healthcheck_disable#$STATE/glance/healthcheck_disable#" \
  "$VENV/etc/glance/glance-api-paste.ini" > "$STATE/glance/glance-api-paste.ini"
cat > "$STATE/glance/glance-api.conf" <<CONF
[DEFAULT]
log_file = $STATE/log/glance.log
use_stderr = false
enabled_backends = disk:file
image_member_quota = $MEMBER_QUOTA
transport_url = fake://
worker_self_reference_url = $GL_URL
[database]
connection = sqlite:///$STATE/glance/glance.sqlite
[glance_store]
default_backend = disk
[disk]
filesystem_store_datadir = $STATE/images
[os_glance_staging_store]
filesystem_store_datadir = $STATE/staging
[os_glance_tasks_store]
filesystem_store_datadir = $STATE/tasks
[keystone_authtoken]
www_authenticate_uri = $KS_URL/v3
auth_url = $KS_URL/v3
auth_type = password
username = glance
password = $GLANCE_PASS
project_name = service
user_domain_id = default
project_domain_id = default
region_name = $REGION
interface = public
# access rules of application credentials are only enforced with it
service_type = image
service_token_roles = service
service_token_roles_required = true
memcached_servers = 127.0.0.1:$MC_PORT
token_cache_time = $TOKEN_CACHE_TIME
[paste_deploy]
flavor = keystone
config_file = $STATE/glance/glance-api-paste.ini
[oslo_policy]
enforce_new_defaults = $ENFORCE_NEW_DEFAULTS
policy_file = $STATE/glance/policy.yaml
[oslo_messaging_notifications]
$notifications
[oslo_concurrency]
lock_path = $STATE/lock
CONF
