# The image of Slipway: control plane, agent and small PostgreSQL, each started by its own command (docs/install-kubernetes.md).
# What is in it is put together by packages/cli/stage-image.ts, also for the image that the tests run.

FROM node:26.10.0-bookworm-slim AS build
WORKDIR /source
COPY . .
# With what is needed to build the page; the stage below gets only what runs.
RUN npm ci --no-audit --no-fund && node packages/cli/stage-image.ts /opt/slipway \
  && node packages/kubernetes/runner-folder.ts /opt/slipway-runner

FROM node:26.10.0-bookworm-slim
# git for the forge; tini because builds leave processes behind that somebody has to wait for.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates git tini \
  && rm -rf /var/lib/apt/lists/* \
  # initdb asks for its user by name.
  && useradd --uid 10001 --user-group --home-dir /tmp --no-create-home --shell /usr/sbin/nologin slipway \
  && install --directory --owner slipway --group slipway /var/lib/slipway \
  && ln -s /opt/slipway/bin/slipway /usr/local/bin/slipway
COPY --from=build /opt/slipway /opt/slipway
# What brings the runner into the images of workers.
COPY --from=build /opt/slipway-runner /opt/slipway-runner
ENV NODE_ENV=production SLIPWAY_HOME=/var/lib/slipway
USER 10001:10001
WORKDIR /tmp
EXPOSE 7300
ENTRYPOINT ["slipway"]
