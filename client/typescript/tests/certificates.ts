// Certificates for tests, made anew each time: X.509 in DER, as far as one certificate authority and those it vouches for.
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";

/** A certificate and its key, PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

// Tags of ASN.1.
const TAG = { boolean: 1, integer: 2, bits: 3, octets: 4, oid: 6, utf8: 12, time: 23, sequence: 48, set: 49 } as const;
const ECDSA_WITH_SHA256 = der(TAG.sequence, oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2));
const COMMON_NAME = oid(0x55, 4, 3);
const SUBJECT_ALT_NAME = oid(0x55, 0x1d, 17);
const BASIC_CONSTRAINTS = oid(0x55, 0x1d, 19);

/** A certificate authority that exists for as long as the test. */
export class Authority {
  readonly cert: string;
  private readonly key: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.key = privateKey;
    const isAuthority = der(TAG.sequence, der(TAG.boolean, Buffer.from([0xff])));
    this.cert = this.signed("authority", publicKey, extension(BASIC_CONSTRAINTS, isAuthority));
  }

  /** A certificate for a name, as which it holds for this machine, too. */
  issue(name: string): Certificate {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const names = der(TAG.sequence, der(0x82, Buffer.from(name)), der(0x87, Buffer.from([127, 0, 0, 1])));
    const cert = this.signed(name, publicKey, extension(SUBJECT_ALT_NAME, names));
    return { cert, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
  }

  private signed(subject: string, publicKey: KeyObject, ...extensions: Buffer[]): string {
    const serial = Buffer.concat([Buffer.from([1]), randomBytes(8)]);
    const certificate = der(
      TAG.sequence,
      der(0xa0, der(TAG.integer, Buffer.from([2]))),
      der(TAG.integer, serial),
      ECDSA_WITH_SHA256,
      commonName("authority"),
      der(TAG.sequence, time(Date.now() - 3_600_000), time(Date.now() + 86_400_000)),
      commonName(subject),
      publicKey.export({ type: "spki", format: "der" }),
      der(0xa3, der(TAG.sequence, ...extensions)),
    );
    const signature = sign("sha256", certificate, this.key);
    const whole = der(TAG.sequence, certificate, ECDSA_WITH_SHA256, der(TAG.bits, Buffer.from([0]), signature));
    return `-----BEGIN CERTIFICATE-----\n${whole.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
  }
}

/** A value with its tag and its length. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function oid(...bytes: number[]): Buffer {
  return der(TAG.oid, Buffer.from(bytes));
}

function commonName(name: string): Buffer {
  return der(TAG.sequence, der(TAG.set, der(TAG.sequence, COMMON_NAME, der(TAG.utf8, Buffer.from(name)))));
}

function time(ms: number): Buffer {
  return der(TAG.time, Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]/g, "").slice(2, 14)}Z`));
}

function extension(id: Buffer, value: Buffer): Buffer {
  return der(TAG.sequence, id, der(TAG.octets, value));
}
