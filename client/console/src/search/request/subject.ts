// What a request is like, in words that all forms share.
import { serverUrl } from "../../api";

/** Stands for the file of a photo that was dropped. */
export const PHOTO = "photo.jpg";

/** Where gRPC is spoken: calls have their own paths, and no base path. */
export const grpcUrl = new URL(serverUrl).origin;

/** The item that is searched like; `undefined`: a photo, or nothing. */
export function itemOf(query: string): string | undefined {
  return query.startsWith("item:") ? query.slice("item:".length) : undefined;
}
