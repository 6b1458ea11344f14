# SPDX-License-Identifier: Apache-2.0
#
# The router in an image: Debian, what the program is linked with, the program. No shell is run in it.
#
#   docker build -t llm-router .                 (or ./dev image, which gives the same bytes each time)
#   docker run --rm llm-router check
#
# The program runs as user 10001 and writes to /var/lib/llm-router alone, so the root file system may be read-only.
# It listens beyond loopback, as a container must, and therefore wants an API key before it starts:
#
#   docker run --rm -v state:/var/lib/llm-router llm-router keys add Anna --admin yes
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update -q && apt-get install -qy --no-install-recommends \
    gcc libc6-dev libedit-dev libllhttp-dev libsqlite3-dev libssl-dev libuv1-dev libvectorscan-dev \
    libwslay-dev libyaml-dev libyyjson-dev meson ninja-build pkgconf python3
WORKDIR /src
COPY . .
ARG SOURCE_DATE_EPOCH
RUN meson setup /build --prefix=/usr --buildtype=release -Dtests=false \
    && meson install -C /build --destdir=/out --strip \
    && rm -r /out/usr/share/man \
    && tools/sbom /build/src/llm-router >/tmp/sbom \
    && install -D -m 644 /tmp/sbom /out/usr/share/llm-router/sbom.spdx.json \
    && install -D -m 644 LICENSE /out/usr/share/doc/llm-router/copyright \
    && mkdir -p /out/etc/llm-router \
    && install -d -m 700 -o 10001 -g 10001 /out/var/lib/llm-router
# Nothing is younger than the source that it was made of: the same source gives the same image.
RUN [ -z "$SOURCE_DATE_EPOCH" ] || find /out -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM ${BASE} AS router
ARG SOURCE_DATE_EPOCH
# Lists, logs and caches differ from one build to the next and are not needed. What the base has of them is emptied and
# not removed: the mark of a removal would have a time of its own.
RUN find /var/cache /var/lib/apt/lists /var/log -type f | LC_ALL=C sort >/tmp/before \
    && apt-get update -q && apt-get install -qy --no-install-recommends \
    ca-certificates libedit2 libllhttp9.2 libsqlite3-0 libssl3t64 libuv1t64 libvectorscan5 libwslay1 \
    libyaml-0-2 libyyjson0 \
    && find /var/cache /var/lib/apt/lists /var/log -type f | LC_ALL=C sort | LC_ALL=C comm -23 - /tmp/before \
        | xargs -r -d '\n' rm -f \
    && xargs -r -d '\n' truncate -s 0 </tmp/before \
    && rm /tmp/before \
    && { [ -z "$SOURCE_DATE_EPOCH" ] || find /etc /root /run /tmp /usr /var -xdev \
        -newermt "@$SOURCE_DATE_EPOCH" ! -path /etc/hosts ! -path /etc/resolv.conf \
        -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }
COPY --from=build /out/ /

ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="llm-router" \
    org.opencontainers.image.description="Routes requests to language models; private ones to local models only" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

ENV LLM_ROUTER_LISTEN=0.0.0.0:8484 \
    LLM_ROUTER_STATE_DIR=/var/lib/llm-router \
    HOME=/var/lib/llm-router
USER 10001:10001
WORKDIR /var/lib/llm-router
VOLUME /var/lib/llm-router
EXPOSE 8484
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --start-interval=1s --retries=3 CMD ["llm-router", "health"]
ENTRYPOINT ["llm-router"]
CMD ["serve"]
