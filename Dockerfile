# syntax=docker/dockerfile:1

# Tags name what is meant; whoever publishes an image pins them by digest:
#   --build-arg BUILD_IMAGE=rust:1.95.0-bookworm@sha256:… --build-arg RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:…
# Both are Debian 12: the program is linked to the glibc that it will find. (A static build with musl would do without one, but
# its allocator is slow and its resolver another; see docs/deploy.md.)
ARG BUILD_IMAGE=rust:1.95.0-bookworm
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# Build. rust-toolchain.toml stays outside, since the image is the toolchain; .dockerignore names all that may come in.
FROM ${BUILD_IMAGE} AS build
# Folders that the process may write to belong to its user, also when a new volume is mounted there.
RUN install -d -o 65532 -g 65532 -m 0700 /state/var/lib/stepgate /state/var/log/stepgate
WORKDIR /src
COPY Cargo.toml Cargo.lock README.md ./
COPY src ./src
COPY policies ./policies
COPY benches/pgo ./benches/pgo
# Three builds and a training run, half an hour of one core. `--build-arg PGO=0` is a plain release build: the same program, for a
# fifth more CPU a request.
ARG PGO=1
RUN if [ "$PGO" = 1 ]; then rustup component add llvm-tools && benches/pgo/build.sh; \
    else cargo build --locked --release --bin stepgate && install -D target/release/stepgate target/released/stepgate; fi

# Run: glibc, root certificates and nothing else. No shell, no package manager, not root.
FROM ${RUN_IMAGE}
LABEL org.opencontainers.image.title="stepgate" \
      org.opencontainers.image.description="A sidecar reverse proxy that enforces how a user signed in" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/stepgate/stepgate"
COPY --from=build /state/ /
COPY --from=build /src/target/released/stepgate /usr/local/bin/stepgate
USER 65532:65532
WORKDIR /etc/stepgate
# The root may be read-only. Written to are, where the settings say so: `keys.cache_dir` and an audit file.
VOLUME ["/var/lib/stepgate", "/var/log/stepgate"]
EXPOSE 8080 8443
STOPSIGNAL SIGTERM
# Alive, not ready: what kills unhealthy containers can't bring an issuer back. It asks the default `admin.address`.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/usr/local/bin/stepgate", "healthcheck", "--live"]
ENTRYPOINT ["/usr/local/bin/stepgate"]
CMD ["run", "--config", "/etc/stepgate/stepgate.yaml"]
