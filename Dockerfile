# Builds with docker, buildah and podman, on and for linux/amd64 and linux/arm64: deploy/image.
# Another registry, or a digest, is an argument: --build-arg BASE_IMAGE=registry.example/cc-debian12:nonroot@sha256:…
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# checkov:skip=CKV_DOCKER_7: both images have tags, in the arguments above, which it does not read
FROM ${RUST_IMAGE} AS tools
RUN cargo install --locked cargo-chef@0.1.78 cargo-auditable@0.7.7
WORKDIR /build

# What the dependencies are, so that a change of our own source does not build them again.
FROM tools AS recipe
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM tools AS build
COPY --from=recipe /build/recipe.json recipe.json
RUN cargo chef cook --locked --profile dist --recipe-path recipe.json
COPY . .
ARG GIT_COMMIT=unknown
# cargo-auditable writes the list of dependencies into the binary, where scanners and SBOM tools find it.
RUN cargo auditable build --locked --profile dist && mkdir /data

FROM ${BASE_IMAGE}
ARG GIT_COMMIT=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.title="chat-server" \
      org.opencontainers.image.description="A small chat server: people post short messages, everyone reads the latest ones" \
      org.opencontainers.image.url="https://github.com/chat-server/chat-server" \
      org.opencontainers.image.source="https://github.com/chat-server/chat-server" \
      org.opencontainers.image.documentation="https://github.com/chat-server/chat-server/blob/main/docs/deploy.md" \
      org.opencontainers.image.vendor="chat-server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
COPY LICENSE /usr/share/doc/chat-server/LICENSE
COPY --from=build /build/target/dist/chat-server /usr/local/bin/chat-server
# The only place that is written to, and only with SQLite, whose file is chat.db in the working directory.
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /data
# By number, so that Kubernetes sees that it is not root.
USER 65532:65532
EXPOSE 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/usr/local/bin/chat-server", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/chat-server"]
