import { SlipwayError } from '@slipway/app';
import { z } from 'zod';

/** What an installation may be told: `values.yaml` and `values.schema.json` of the chart are made of this, and `slipway install` reads the same. */

const objectName = z.string().regex(/^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$/);
const quantity = z.string().regex(/^\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?$/);
const cidr = z.string().regex(/^[0-9a-fA-F.:]+\/\d{1,3}$/);
const place = z.strictObject({ namespace: objectName.min(1), name: objectName.min(1) });

/** A size of containers: memory is always limited. CPU that nobody uses may be used. */
function size(cpu: string, request: string, limit: string, description: string) {
  const both = z.strictObject({
    requests: z.strictObject({ cpu: quantity.default(cpu), memory: quantity.default(request) }).prefault({}),
    limits: z
      .strictObject({
        memory: quantity.default(limit),
        cpu: quantity.optional().describe('Without a limit it may use what nobody else does.'),
      })
      .prefault({}),
  });
  return both.prefault({}).describe(description);
}

/** Where clusters and their machines are. */
const PRIVATE = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];

const valuesSchema = z.strictObject({
  image: z
    .string()
    .regex(/^[^\s:@]+(:\d+\/[^\s:@]+)?(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/)
    .describe(
      'The image of Slipway, as built from the Dockerfile and pushed to a registry of yours, with its tag or digest.',
    ),
  imagePullSecrets: z
    .array(z.strictObject({ name: objectName.min(1) }))
    .default([])
    .describe('Secrets by which it is pulled: [{ name: registry }]'),
  adminTokenSecret: objectName
    .default('')
    .describe('A Secret with the key "token": the administrator\'s token. Empty: one is made, and kept over upgrades.'),
  database: z
    .strictObject({
      urlSecret: objectName
        .default('')
        .describe(
          'A Secret with the URL of your own PostgreSQL. Empty: a small one runs in the pod, with its data on the volume.',
        ),
      urlKey: z.string().min(1).default('url').describe('The key of the URL in it.'),
    })
    .prefault({}),
  storage: z
    .strictObject({
      size: quantity.default('10Gi').describe('Of the volume for repositories, artifacts and the small PostgreSQL.'),
      className: objectName.default('').describe('Storage class. Empty: the default one of the cluster.'),
      existingClaim: objectName
        .default('')
        .describe('A claim that is there already, such as one with a restored backup.'),
      scratch: quantity.default('5Gi').describe('What a container may write elsewhere, such as caches of builds.'),
    })
    .prefault({}),
  cluster: z
    .strictObject({
      name: z
        .string()
        .regex(/^([a-z]([a-z0-9-]{0,38}[a-z0-9])?)?$/)
        .default('local')
        .describe('This cluster as `engine:` of environments. Empty: it is none, and Slipway gets no rights in it.'),
      gateway: place
        .optional()
        .describe(
          'The Gateway by which requests come in. Default: the only one there is. { namespace: gateway, name: main }',
        ),
      ingress: place
        .optional()
        .describe(
          'Without the Gateway API: namespace and class of the ingress controller. { namespace: kube-system, name: traefik }',
        ),
      domain: z.string().min(1).default('localhost').describe('Environments are ENVIRONMENT.APP.DOMAIN.'),
      port: z.int().min(1).max(65_535).default(80).describe('Port of the gateway in URLs.'),
      reach: z.array(cidr).default([]).describe('Private networks that apps may reach, such as that of a database.'),
      pullSecret: objectName
        .default('')
        .describe('Secret in each namespace of an environment by which its images are pulled.'),
    })
    .prefault({}),
  expose: z
    .strictObject({
      via: z
        .enum(['none', 'gateway', 'ingress'])
        .default('none')
        .describe('How people and forges reach Slipway: an HTTPRoute, an Ingress, or none (kubectl port-forward).'),
      host: z.string().default('').describe('Its name, such as slipway.example.com.'),
      gateway: place.optional().describe('With via: gateway. { namespace: gateway, name: main }'),
      className: objectName
        .default('')
        .describe('With via: ingress, its class. Empty: the default one of the cluster.'),
      tlsSecret: objectName.default('').describe('With via: ingress, the Secret with the certificate.'),
      annotations: z
        .record(z.string(), z.string())
        .default({
          // A push is one long request of any size.
          'nginx.ingress.kubernetes.io/proxy-body-size': '0',
          'nginx.ingress.kubernetes.io/proxy-read-timeout': '3600',
          'nginx.ingress.kubernetes.io/proxy-request-buffering': 'off',
        })
        .describe('With via: ingress, for its controller. These let nginx take pushes of any size and live streams.'),
    })
    .prefault({}),
  networkPolicy: z
    .strictObject({
      enabled: z.boolean().default(true),
      fromNamespaces: z
        .array(objectName)
        .default([])
        .describe(
          'Namespaces from which requests come in, besides those of the Gateways and the ingress controller above.',
        ),
      apiServer: z
        .array(cidr)
        .default(PRIVATE)
        .describe("Where the API server is (ports 443, 6443 and 16443); policies can't name it otherwise."),
      reach: z
        .array(cidr)
        .default([])
        .describe('Private networks that Slipway and builds may reach. The internet they reach anyway.'),
    })
    .prefault({}),
  resources: z
    .strictObject({
      server: size('100m', '256Mi', '1Gi', 'The control plane.'),
      agent: size('250m', '256Mi', '2Gi', 'Builds and checks run in it.'),
      postgres: size('100m', '128Mi', '512Mi', 'The small PostgreSQL.'),
    })
    .prefault({}),
  nodeSelector: z.record(z.string(), z.string()).default({}),
  tolerations: z.array(z.looseObject({})).default([]),
  priorityClassName: objectName.default(''),
  global: z.looseObject({}).optional().describe('Given by charts that have this one as a part; not used.'),
});

export type Values = z.infer<typeof valuesSchema>;

/** @throws {SlipwayError} `mistake` with every value that is wrong. */
export function readValues(given: unknown): Values {
  const parsed = valuesSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the values'}: ${message}`);
  throw new SlipwayError('mistake', `these values can't be used: ${wrong.join('; ')}`);
}

/** For `values.schema.json`, by which Helm refuses what is misspelt. */
export function valuesJsonSchema() {
  return z.toJSONSchema(valuesSchema, { io: 'input', target: 'draft-7' });
}

/** What `values.yaml` says. `image` has no default: there is none that everybody could pull. */
export function defaultValues(): Omit<Values, 'image'> {
  const { image: _, ...defaults } = readValues({ image: 'slipway' });
  return defaults;
}
