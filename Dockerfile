# syntax=docker/dockerfile:1
# The program and nothing else: linked statically, run by nobody in particular. Each platform is built on its own kind:
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/otelgate:0.1.0 .
#
# image/archive makes the same from a program that is built already.
FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends cmake gcc make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG TARGETPLATFORM
# A target by name keeps the flag off build scripts and macros, which can't be linked statically.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target,id=target-$TARGETPLATFORM \
    host=$(rustc --print host-tuple) \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin otelgate --target "$host" \
    && cp "target/$host/release/otelgate" /otelgate

FROM scratch
LABEL org.opencontainers.image.title="otelgate" \
      org.opencontainers.image.description="A Kubernetes admission webhook and controller that make pods observable by a label" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build --chmod=0755 /otelgate /otelgate
# One heap for the few threads, and large pieces by themselves: what a list of thousands took goes back to the system.
ENV MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/otelgate"]
