# Shared settings and process helpers; sourced by the other scripts.  Everything binds to 127.0.0.1.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${GATE_TESTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/glance-gate-openstack}
STATE=${GATE_TESTS_STATE:-$CACHE/tests-state}     # databases, keys, generated configuration, logs, pids
# One environment per list of requirements: an upgrade never pulls a venv from under a running stack.
VENV=${GATE_TESTS_VENV:-$CACHE/venv-$(sha256sum "$HERE/requirements.txt" | cut -c1-12)}
REGION=RegionOne
ADMIN_PASS=${ADMIN_PASS:-adminpass}
GLANCE_PASS=${GLANCE_PASS:-glancepass}

# --- switches (environment); see README.md ---------------------------------
TOKEN_PROVIDER=${TOKEN_PROVIDER:-fernet}           # fernet | jws
ENFORCE_NEW_DEFAULTS=${ENFORCE_NEW_DEFAULTS:-true} # true = secure RBAC; false = the policies of older releases
TOKEN_CACHE_TIME=${TOKEN_CACHE_TIME:-300}          # Glance's own cache of validated tokens (memcached)
MEMBER_QUOTA=${MEMBER_QUOTA:-10}                   # small, so that a full list is cheap to make
GLANCE_PROCS=${GLANCE_PROCS:-1}                    # 1 x 1: sqlite has no "database is locked" then
GLANCE_THREADS=${GLANCE_THREADS:-1}
KS_PROCS=${KS_PROCS:-2}
NOTIFICATIONS_URL=${NOTIFICATIONS_URL:-}           # a RabbitMQ that both send their notifications to; "" for none
NOTIFICATION_FORMAT=${NOTIFICATION_FORMAT:-basic}  # Keystone's: basic | cadf
TOKEN_EXPIRATION=${TOKEN_EXPIRATION:-14400}

load_ports() { # chosen once and kept: they are written into Keystone's catalog
  if [ ! -s "$STATE/ports" ]; then
    mkdir -p "$STATE"; chmod 700 "$STATE"
    # below the range the kernel takes for outgoing connections (32768 and up)
    python3 - > "$STATE/ports" <<'PY'
import random, socket
held = []
for name in ("KS_PORT", "GL_PORT", "MC_PORT"):
    while True:
        port, probe = random.randrange(20000, 32000), socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        held.append(probe)
        print(f"{name}={port}")
        break
PY
  fi
  . "$STATE/ports"
  KS_URL=http://127.0.0.1:$KS_PORT
  GL_URL=http://127.0.0.1:$GL_PORT
}

started_at() { awk '{sub(/^.*\) /,""); print $20}' "/proc/$1/stat" 2>/dev/null; }  # kernel start time of a pid
alive() { # pidfile -> 0 if the recorded process still runs: same pid and same start time, uWSGI rewrites its title
  local p; [ -s "$1" ] || return 1
  p=$(cat "$1"); kill -0 "$p" 2>/dev/null || return 1
  [ "$(started_at "$p")" = "$(cat "$1.start" 2>/dev/null)" ]
}
stop_pid() { # pidfile
  local p i; [ -s "$1" ] || return 0
  if alive "$1"; then
    p=$(cat "$1"); kill -TERM "$p" 2>/dev/null
    for i in $(seq 1 100); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
    if kill -0 "$p" 2>/dev/null; then kill -KILL -- "-$p" 2>/dev/null || kill -KILL "$p"; fi
  fi
  rm -f "$1" "$1.start"
}
start() { # NAME CONFIGHASH PORT COMMAND...   (in a process group of its own)
  local n=$1 h=$2 port=$3; shift 3
  if alive "$STATE/run/$n.pid" && [ "$(cat "$STATE/run/$n.hash" 2>/dev/null)" = "$h" ]; then return; fi
  stop_pid "$STATE/run/$n.pid"
  if ! port_is_free "$port"; then say "port $port is taken by somebody else; ./down.sh --purge chooses new ones"; exit 1; fi
  setsid "$@" >>"$STATE/log/$n.out" 2>&1 </dev/null &
  echo $! > "$STATE/run/$n.pid"; echo "$h" > "$STATE/run/$n.hash"; started_at $! > "$STATE/run/$n.pid.start"
  say "$n started, pid $!"
}
port_is_free() { python3 -c 'import socket,sys; s=socket.socket(); s.setsockopt(1,2,1); s.bind(("127.0.0.1",int(sys.argv[1])))' "$1" 2>/dev/null; }
wait_http() { # NAME URL
  python3 - "$2" <<'PY' && { say "$1 answers"; return; }
import sys, time, urllib.error, urllib.request
for _ in range(600):
    try:
        urllib.request.urlopen(sys.argv[1], timeout=5); sys.exit(0)
    except urllib.error.HTTPError:
        sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit(1)
PY
  say "$1 does not answer; its last lines:"; tail -20 "$STATE/log/$1.out" >&2; exit 1
}
