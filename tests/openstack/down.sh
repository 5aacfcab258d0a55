#!/bin/bash
# Stops what up.sh started, by recorded pid.
#   ./down.sh            everything      ./down.sh keystone   one service
#   ./down.sh --purge    and removes databases, keys, images and ports (not the Python environment)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
case ${1:-} in
  keystone|glance|memcached) services=$1;;
  ''|--purge) services="glance keystone memcached";;
  *) sed -n 2,4p "$0"; exit 2;;
esac
for n in $services; do stop_pid "$STATE/run/$n.pid"; rm -f "$STATE/run/$n.hash"; done
[ "${1:-}" != --purge ] || rm -rf "$STATE"
