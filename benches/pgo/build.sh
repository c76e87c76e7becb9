#!/usr/bin/env bash
# Builds the program that is released: with the knowledge of which of its code is executed, and how often (profile-guided
# optimisation). docs/performance.md says what it gains. `make release` and the Dockerfile come here.
#
#     benches/pgo/build.sh        → target/released/stepgate
#
# A build that counts what it executes; a training run with it (train.rs); a build that reads the counts. Both builds are of the same
# profile, or they would not agree on what functions are called, and for a named target, so that what only runs while building
# (build scripts, macros) neither counts nor learns. Needs Rust and its `llvm-tools`, and no network but loopback.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

host="$(rustc -vV | sed -n 's/^host: //p')"
# Of the same LLVM as the compiler: another one may not read what its programs write.
profdata="$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
if [[ ! -x $profdata ]]; then
  echo "there is no $profdata; install it with \`rustup component add llvm-tools\`" >&2
  exit 1
fi
target="${CARGO_TARGET_DIR:-target}"
mkdir -p "$target"
target="$(cd "$target" && pwd)"
own="$target/pgo"
# From nothing: cargo does not notice that a profile has other contents than before.
rm -rf "$own"
mkdir -p "$own/counts"

build() { # the flags of the compiler, besides those that are set; encoded, since a path may have a space in it
  local flags
  read -ra flags <<<"${RUSTFLAGS:-}"
  flags+=("$1")
  CARGO_ENCODED_RUSTFLAGS="$(IFS=$'\x1f' && printf '%s' "${flags[*]}")" \
    cargo build --locked --release --target "$host" --target-dir "$own" --bin stepgate
}

build -Cprofile-generate
cp "$own/$host/release/stepgate" "$own/counting"
# As it comes, without the flags: it is only the client.
cargo build --locked --example train
LLVM_PROFILE_FILE="$own/counts/%m-%p.profraw" "$target/debug/examples/train" "$own/counting"
"$profdata" merge --output "$own/counts.profdata" "$own"/counts/*.profraw
build "-Cprofile-use=$own/counts.profdata"
install -D "$own/$host/release/stepgate" "$target/released/stepgate"
echo "$target/released/stepgate"
