# The operator's image: `make image`.

FROM rust:1.95-slim-trixie AS build
# With musl the in-job program is static and small; testbed/build.sh takes it where it is there.
RUN rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY bin/ bin/
COPY core/ core/
COPY sender/ sender/
COPY src/ src/
COPY crds/ crds/
COPY migrations/ migrations/
# Cargo wants the files that Cargo.toml names, also those that are not built here.
COPY tests/ tests/
COPY benches/ benches/
COPY testbed/build.sh testbed/lib.sh testbed/
RUN HTC_BED=/build/bed testbed/build.sh

FROM debian:trixie-slim
# HTCondor's tools (of the package we use no daemon) and, for the component kerberos, its clients.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates condor krb5-user kstart \
 && rm -rf /var/lib/apt/lists/*
# HTCondor's tools want a user that has a name. The number stands in deploy/deployment.yaml too.
RUN useradd --uid 10001 --home-dir /var/lib/htc-operator --create-home --shell /usr/sbin/nologin htc
COPY --from=build /build/bed/bin/ /usr/local/bin/
USER 10001
ENTRYPOINT ["htc-operator"]
CMD ["serve"]
