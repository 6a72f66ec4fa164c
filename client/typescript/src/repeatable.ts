// Which calls may be sent again without harm.
import { isMessage, type DescMethod, type Message } from "@bufbuild/protobuf";
import { UpsertItemRequestSchema } from "./v1.js";

// Names of the methods that change nothing begin with one of these.
const READS = /^(Describe|Search|Suggest|Get|List|Catalog|Count|Compare|Personalise|ServerStats)/;

/** Whether sending a call twice comes to the same as once: it reads, is a dry run, or has a request id. */
export function isRepeatable(method: DescMethod, message: Message): boolean {
  return READS.test(method.name) || isDryRun(message) || Boolean(requestIdOf(message));
}

/**
 * Gives a mutation a request id where its caller has given none. The caller's message stays as it is: when it is sent again, that
 * is another request.
 */
export function withRequestId<M extends Message>(message: M): M {
  if (requestIdOf(message) !== "" || isDryRun(message)) return message;
  const requestId = newRequestId();
  // That of an item alone is the item's, since uploads have it, too.
  return isMessage(message, UpsertItemRequestSchema)
    ? { ...message, item: { ...message.item, requestId } }
    : { ...message, requestId };
}

/** A new request id: 128 random bits. */
export function newRequestId(): string {
  // `crypto.randomUUID` is there for pages from HTTPS alone.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** `undefined`: the message has none to give. */
function requestIdOf(message: Message): string | undefined {
  if (isMessage(message, UpsertItemRequestSchema)) return message.item?.requestId;
  return "requestId" in message && typeof message.requestId === "string" ? message.requestId : undefined;
}

function isDryRun(message: Message): boolean {
  return "dryRun" in message && message.dryRun === true;
}
