#!/bin/sh
# The tests of host.sh against the real plugin: test.sh PLUGIN. Each is a sentence; the first that fails ends the run.
set -eu
host=$(dirname "$0")/host.sh plugin=$1
fail() { echo "FAILED: $*"; exit 1; }

# Nothing tells a shell which port is free: one that is held is answered with 409, and another is tried.
for port in $(shuf -i 20000-30000 -n 5); do
  status=0
  said=$(PORT=$port "$host" "$plugin" --mta sandbox) || status=$?
  case $said in *'"status":409'*) ;; *) break ;; esac
done
[ "$status" = 0 ] || fail "a conversation ends well: $said"
case $said in *"\"ports\":\"$port\""*'"is_running":1'*) ;; *) fail "the listing shows the running listener: $said" ;; esac

! said=$(PORT=0 "$host" "$plugin" --mta sandbox) || fail "a refused input is no success: $said"
! said=$("$host" false) || fail "a plugin that fails is no success: $said"
echo "shell: 4 tests passed"
