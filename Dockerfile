# syntax=docker/dockerfile:1
# Two images from one build: `quell` (the default) and `simulator`, which stands in for Microsoft's services in trials.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The caches keep downloaded crates and compiled dependencies between builds on one machine; what is shipped must be
# copied out of them, because a cache is not part of an image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --locked --profile dist --workspace --bins \
    && install -D -t /out target/dist/quell target/dist/quell-simulator

FROM debian:bookworm-slim AS runtime
# Certificates to call Microsoft, time zones for schedules, curl for the health checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl tzdata \
    && rm -rf /var/lib/apt/lists/*
# A fixed number, so that the owner of a mounted folder can be set from outside.
RUN groupadd --system --gid 10001 quell \
    && useradd --system --uid 10001 --gid quell --home-dir /var/lib/quell --no-create-home --shell /usr/sbin/nologin quell \
    && install -d -o quell -g quell -m 0750 /var/lib/quell
WORKDIR /var/lib/quell

FROM runtime AS simulator
COPY --from=build /out/quell-simulator /usr/local/bin/
USER 10001:10001
EXPOSE 8090
# Any answer will do, also 404: it is not Microsoft's services that offer a page about their health.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["curl", "--silent", "--show-error", "--output", "/dev/null", "http://127.0.0.1:8090/"]
ENTRYPOINT ["quell-simulator"]
CMD ["--host", "0.0.0.0", "--port", "8090", "--public-url", "http://simulator:8090"]

# The last stage is what `docker build .` makes.
FROM runtime AS quell
COPY --from=build /out/quell /usr/local/bin/
COPY playbooks /etc/quell/playbooks
USER 10001:10001
# The journal. All else is read-only: `docker run --read-only --tmpfs /tmp` works.
VOLUME /var/lib/quell
EXPOSE 8080
# Alive is enough here: a broker that is down is no reason to restart this container. `/readyz` says the rest.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--show-error", "--output", "/dev/null", "http://127.0.0.1:8080/healthz"]
# It finishes the step at hand when asked to stop, see `docker stop --time`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["quell"]
CMD ["run"]
