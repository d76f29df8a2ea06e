# Two images of one source: `vault` (no PKCS#11 module can be loaded in it) and `keeper` (SoftHSM inside). docs/containers.md.
# The base is pinned by tag. Pin it by digest when you build: `docker buildx imagetools inspect node:24.21.0-bookworm-slim` prints it.

# --- packages: what npm brings, without running anybody's install script ---
FROM node:24.21.0-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

# The vault never talks to a token: what could is not in its image. The package `node` is the runtime on a bare machine; here the base is.
FROM packages AS packages-vault
RUN rm -rf node_modules/pkcs11js node_modules/node

# pkcs11js is C++ without a prebuilt file. The headers are the base image's own, so nothing is fetched for it.
FROM packages AS packages-keeper
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make python3 \
 && rm -rf /var/lib/apt/lists/*
RUN npm_config_nodedir=/usr/local npm rebuild pkcs11js --ignore-scripts=false --foreground-scripts \
 && node -e "require('pkcs11js')" \
 && rm -rf node_modules/node

# --- vault ---
FROM node:24.21.0-bookworm-slim AS vault
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages-vault /app/node_modules node_modules
COPY package.json LICENSE ./
COPY policies policies
COPY deploy/container deploy/container
COPY src src
RUN ["node", "deploy/container/prepare-image.ts", "vault"]
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 \
  CMD ["node", "--disable-warning=ExperimentalWarning", "/app/src/cli/main.ts", "doctor", "--ready", "--config", "/vault/vault.json"]
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "--disable-sigusr1", "/app/src/cli/main.ts"]
CMD ["serve", "--folder", "/vault"]

# --- keeper ---
FROM node:24.21.0-bookworm-slim AS keeper
ENV NODE_ENV=production
RUN apt-get update \
 && apt-get install -y --no-install-recommends softhsm2 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=packages-keeper /app/node_modules node_modules
COPY package.json LICENSE ./
COPY policies policies
COPY softhsm softhsm
COPY deploy/container deploy/container
COPY src src
RUN ["node", "deploy/container/prepare-image.ts", "keeper"]
USER 10002:10002
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 \
  CMD ["node", "--disable-warning=ExperimentalWarning", "/app/src/cli/main.ts", "keeper", "--ready", "--config", "/keys/keeper.json"]
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "--disable-sigusr1", "/app/src/cli/main.ts"]
CMD ["keeper", "--config", "/keys/keeper.json"]
