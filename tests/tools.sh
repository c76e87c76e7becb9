#!/usr/bin/env bash
# Sees to the programs that the tests need, and says plainly which one is missing where it cannot install it. With the word
# `bench`, also to those that it is compared with.
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need cc build-essential
need node nodejs
need npm npm
need python3 python3
need openssl openssl
need curl curl
need nghttp nghttp2-client
need h2load nghttp2-client
# Daemons are not on everybody's path.
[[ -x /usr/sbin/nginx ]] || need nginx nginx
# Which parts nginx has been built with, and which it loads, differs; Debian and its kin load this one.
stream=/usr/lib/nginx/modules/ngx_stream_module.so
if command -v apt-get >/dev/null 2>&1 && [[ ! -e $stream ]]; then missing+=(libnginx-mod-stream); fi
need systemd-analyze systemd
# A server that is built into it stands behind the gate.
need java default-jdk-headless
need valgrind valgrind
if [[ "${1:-}" == bench ]]; then
  PATH="$PATH:/usr/sbin:/sbin"
  need haproxy haproxy
  need wrk wrk
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

if ((${#missing[@]})); then
  if command -v apt-get >/dev/null 2>&1 && [[ "$(id -u)" == 0 ]]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  else
    echo "please install: ${missing[*]}" >&2
    exit 1
  fi
fi

node_major="$(node -p 'process.versions.node.split(".")[0]')"
if ((node_major < 20)); then
  echo "Node.js 20 or later is needed for the test provider; this is $(node --version)" >&2
  exit 1
fi
