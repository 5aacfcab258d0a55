#!/bin/bash
# Brings up memcached, Keystone and Glance on 127.0.0.1 from nothing; idempotent.
#   TOKEN_PROVIDER=fernet|jws ENFORCE_NEW_DEFAULTS=true|false ./up.sh
#   ./up.sh --prepare      only installs what that needs
# A running service whose configuration changed is restarted, one whose configuration is the same is left alone.
set -euo pipefail; umask 022
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
T0=$SECONDS; say() { printf '[%3ds] %s\n' $((SECONDS - T0)) "$*" >&2; }
cd "$HERE"

# 1. what the machine must have ---------------------------------------------
packages=()
command -v memcached >/dev/null || packages+=(memcached)
command -v rabbitmq-server >/dev/null || packages+=(rabbitmq-server)    # test_audit.py starts one of its own
command -v setsid >/dev/null || packages+=(util-linux)
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || packages+=(rabbitmq-server)
if [ ! -x "$VENV/bin/uwsgi" ]; then    # needed to build the environment only
  command -v cc >/dev/null || packages+=(gcc libc6-dev)
  python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
  python3 -c 'import os,sysconfig as s,sys; sys.exit(not os.path.exists(s.get_path("include")+"/Python.h"))' || packages+=(python3-dev)
fi
if [ ${#packages[@]} -gt 0 ]; then
  say "installing ${packages[*]}"
  # RUNLEVEL=1: Debian starts no service of a package it installs; the tests start their own
  apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >/dev/null
fi
if ! cmp -s requirements.txt "$VENV/.done"; then
  say "building the Python environment"
  rm -rf "$VENV"; python3 -m venv "$VENV"
  "$VENV/bin/pip" install -q -U pip
  "$VENV/bin/pip" install -q -r requirements.txt
  cp requirements.txt "$VENV/.done"
fi
[ "${1:-}" != --prepare ] || exit 0
PATH=$VENV/bin:$PATH
load_ports

# 2. configuration, keys, databases -----------------------------------------
mkdir -p "$STATE"/{keystone,glance,log,run,images,staging,tasks,lock}
. ./configure.sh
export PYTHONWARNINGS=ignore OS_KEYSTONE_CONFIG_DIR=$STATE/keystone OS_GLANCE_CONFIG_DIR=$STATE/glance
KM="keystone-manage --config-file $STATE/keystone/keystone.conf"
if [ ! -e "$STATE/keystone/.bootstrapped" ]; then
  say "keystone: keys, database, bootstrap"
  $KM fernet_setup --keystone-user root --keystone-group root
  $KM credential_setup --keystone-user root --keystone-group root
  python - "$STATE/keystone/jws" <<'PY'
import pathlib, sys
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
root, key = pathlib.Path(sys.argv[1]), ec.generate_private_key(ec.SECP256R1())
for part, pem in (
    ("private", key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())),
    ("public", key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)),
):
    (root / part).mkdir(parents=True, exist_ok=True)
    path = root / part / f"{part}.pem"
    path.touch(mode=0o600)
    path.write_bytes(pem)
PY
  chmod 750 "$STATE"/keystone/{fernet-keys,credential-keys}
  $KM db_sync
  $KM bootstrap --bootstrap-password "$ADMIN_PASS" --bootstrap-username admin --bootstrap-project-name admin \
    --bootstrap-role-name admin --bootstrap-service-name keystone --bootstrap-region-id $REGION \
    --bootstrap-public-url $KS_URL/v3 --bootstrap-internal-url $KS_URL/v3 --bootstrap-admin-url $KS_URL/v3
  touch "$STATE/keystone/.bootstrapped"
fi
if [ ! -e "$STATE/glance/.synced" ]; then
  say "glance: database"
  glance-manage --config-file "$STATE/glance/glance-api.conf" db_sync >"$STATE/log/glance-db-sync.log" 2>&1
  # write-ahead logging: readers do not block the writer
  python -c 'import sqlite3,sys; [sqlite3.connect(p).execute("pragma journal_mode=wal") for p in sys.argv[1:]]' \
    "$STATE/glance/glance.sqlite" "$STATE/keystone/keystone.sqlite"
  touch "$STATE/glance/.synced"
fi

# 3. processes ----------------------------------------------------------------
# uWSGI's http-socket closes after each response without saying so: without the added header, clients
# that pool connections get resets now and then (DevStack adds the same header).
serve() { # NAME CONFIGHASH PORT MODULE PROCESSES THREADS
  start "$1" "$2" "$3" "$VENV/bin/uwsgi" --http-socket "127.0.0.1:$3" --module "$4" --virtualenv "$VENV" \
    --master --die-on-term --enable-threads --lazy-apps --need-app --processes "$5" --threads "$6" \
    --buffer-size 65535 --thunder-lock --add-header "Connection: close"
}
# another mode gets a fresh Glance, too: one that remembers nothing of the policies that tests have written
hash_of() { { cat "$@"; echo "$KS_PROCS $GLANCE_PROCS $GLANCE_THREADS $TOKEN_PROVIDER"; } | sha256sum | cut -c1-16; }
KH=$(hash_of "$STATE/keystone/keystone.conf")
GH=$(hash_of "$STATE"/glance/{glance-api.conf,policy.yaml,glance-api-paste.ini})
start memcached 1 "$MC_PORT" "$(command -v memcached)" -l 127.0.0.1 -p "$MC_PORT" -U 0 -m 64 -u nobody
serve keystone "$KH" "$KS_PORT" keystone.wsgi.api:application "$KS_PROCS" 2
serve glance "$GH" "$GL_PORT" glance.wsgi.api:application "$GLANCE_PROCS" "$GLANCE_THREADS"
wait_http keystone $KS_URL/v3
SEED_HASH=$(sha256sum seed.py | cut -c1-16)
if [ "$(cat "$STATE/.seeded" 2>/dev/null)" != "$SEED_HASH" ]; then
  say "users, projects, catalog"
  KS_URL=$KS_URL GL_URL=$GL_URL ADMIN_PASS=$ADMIN_PASS GLANCE_PASS=$GLANCE_PASS REGION=$REGION OUT="$STATE/ids.json" python seed.py
  echo "$SEED_HASH" > "$STATE/.seeded"
fi
wait_http glance $GL_URL/versions
python - > "$STATE/stack.json" <<PY
import json
ids = json.load(open("$STATE/ids.json"))
print(json.dumps(dict(ids, keystone="$KS_URL", glance="$GL_URL", state="$STATE", region="$REGION",
                      token_provider="$TOKEN_PROVIDER", new_defaults="$ENFORCE_NEW_DEFAULTS" == "true"), indent=1))
PY
say "up: keystone $KS_URL ($TOKEN_PROVIDER tokens), glance $GL_URL (enforce_new_defaults=$ENFORCE_NEW_DEFAULTS)"
