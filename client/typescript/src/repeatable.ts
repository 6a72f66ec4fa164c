// Which calls may be sent again without harm.
import type { DescMethod, Message } from "@bufbuild/protobuf";

// Names of the methods that change nothing begin with one of these.
const READS = /^(Describe|Search|Suggest|Get|List|Catalog|Count|Compare|Personalise)/;

/** Whether sending a call twice comes to the same as once: it reads, is a dry run, or has a request id. */
export function isRepeatable(method: DescMethod, message: Message): boolean {
  if (READS.test(method.name) || isDryRun(message)) return true;
  return "requestId" in message && message.requestId !== "";
}

/** Gives a mutation a request id where the caller has given none. */
export function withRequestId(message: Message): void {
  if ("requestId" in message && message.requestId === "" && !isDryRun(message)) message.requestId = newRequestId();
}

/** A new request id: 128 random bits. */
export function newRequestId(): string {
  // `crypto.randomUUID` is there for pages from HTTPS alone.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isDryRun(message: Message): boolean {
  return "dryRun" in message && message.dryRun === true;
}
