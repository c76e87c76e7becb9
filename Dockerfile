# syntax=docker/dockerfile:1

# Build: the official Rust image. rust-toolchain.toml stays outside, since the image is the toolchain.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock README.md ./
COPY src ./src
COPY policies ./policies
RUN cargo build --locked --release --bin stepgate

# Run: glibc, root certificates and nothing else: no shell, no package manager, not root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/stepgate /usr/local/bin/stepgate
USER nonroot:nonroot
WORKDIR /etc/stepgate
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/stepgate"]
CMD ["run", "--config", "/etc/stepgate/stepgate.yaml"]
